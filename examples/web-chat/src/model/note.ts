// What a message of the chat holds. Others may publish anything into a room, so it is checked on the way in.

import type { ClientInfo } from "homing";
import { NAME_LENGTH } from "./person.js";

/** The payload, the same as the bots use. */
export interface Note {
  /** The sender's own word for who they are; what the server says counts more. */
  readonly user: string;
  readonly name: string;
  readonly text: string;
}

/** The server refuses payloads above 64 KiB; nobody reads that much in a chat. */
export const TEXT_LENGTH = 4000;

const text = (value: unknown, length: number): string => (typeof value === "string" ? value.slice(0, length) : "");

const field = (value: unknown, key: string): unknown =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>)[key] : undefined;

/** A note, or undefined where the payload is none. */
export const readNote = (data: unknown, info: ClientInfo | null): Note | undefined => {
  const words = text(field(data, "text"), TEXT_LENGTH);
  if (words === "") return undefined;
  const user = info?.user || text(field(data, "user"), 64) || (info?.client ?? "");
  const name = nameOf(info) || text(field(data, "name"), NAME_LENGTH) || "Guest";
  return { user, name, text: words };
};

/** The name that the server vouches for; empty where it knows none. */
export const nameOf = (info: ClientInfo | null): string => text(field(info?.connInfo, "name"), NAME_LENGTH);
