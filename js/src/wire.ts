// The module's events as they arrive: compact JSON, one object per event. Owns their shape and their
// translation into what the app sees; the Rust side writes them in sdk-wasm/src/events.rs.

import { RealtimeError, errorName } from "./errors.js";
import type { StorageOp } from "./storage.js";
import type {
  AckedLostEvent,
  ChannelGap,
  ChannelMessage,
  ClientInfo,
  GapReason,
  Health,
  JoinedEvent,
  LeftEvent,
  Position,
  Reason,
  Retention,
  SubscribedEvent,
  SubscribingEvent,
  UnsubscribedEvent,
} from "./types.js";

/** A client as the wire names it. */
export interface WireInfo {
  user?: string;
  client?: string;
  conn_info?: unknown;
  chan_info?: unknown;
}

/** A publication as the wire has it. */
export interface WirePublication {
  id?: string;
  data?: unknown;
  offset?: number;
  info?: WireInfo;
  tags?: Record<string, string>;
  time?: number;
}

export interface WireError {
  /** Number of the name in the table. */
  kind: number;
  code: number;
  detail?: string;
  limit?: [number, number];
  retryable: boolean;
}

export type WireConnection =
  | { status: "disconnected"; reason: Reason }
  | { status: "connecting"; reason: Reason; attempt: number; wait: number | null }
  | {
      status: "connected";
      client: string;
      user: string;
      server: string;
      data: unknown;
      capabilities: string[];
      max: number;
      window: number;
    }
  | { status: "closed" };

export type WireChannelEvent =
  | { t: "message"; m: WirePublication }
  | { t: "gap"; from: Position; to: Position; reason: GapReason }
  | { t: "subscribing" | "unsubscribed"; reason: Reason }
  | {
      t: "subscribed";
      position: Position | null;
      was: boolean;
      recovered: boolean;
      missed: number | null;
      data: unknown;
      retention: Retention | null;
    }
  | { t: "joined" | "left"; info: WireInfo }
  | { t: "error"; error: WireError };

export type WireResult =
  | { position: Position | null; time: number; duplicate: boolean }
  | { position: Position | null; messages: WirePublication[] }
  | { members: WireInfo[] }
  | { clients: number; users: number }
  | { data: unknown }
  | Record<string, never>;

/** What the module wants from the storage. */
export type WireStorage =
  | { e: "storage_open"; server: string; user: string }
  | { e: "storage_write"; id: number; ops: StorageOp[] }
  | { e: "storage_erase" };

/** A message of the outbox. */
export interface WireEntry {
  n: number;
  id: string;
  channel: string;
  data: unknown;
  at: number;
  sent: boolean;
  state: "queued" | "sending" | "parked";
  error?: WireError;
}

/** A change of the outbox; without `entry`: it has left it. */
export interface WireOutboxChange {
  n: number;
  t: "added" | "edited" | "state" | "acked" | "discarded" | "handed_over";
  position?: Position | null;
  time?: number;
  entry: WireEntry | null;
}

export interface WireOutbox {
  count: number;
  bytes: number;
  oldest: number;
  entries?: WireEntry[];
}

export type WireEvent =
  | WireStorage
  | { e: "connection"; state: WireConnection }
  | { e: "health"; health: Health }
  | { e: "message"; data: unknown }
  | { e: "error"; error: WireError }
  | { e: "channel"; key: number; event: WireChannelEvent }
  | { e: "server_subscribed" | "server_unsubscribed"; key: number; name: string }
  | { e: "settled"; id: number; ok: WireResult }
  | { e: "settled"; id: number; error: WireError }
  | { e: "accepted"; id: number; durably: boolean }
  | ({ e: "outbox" } & WireOutboxChange)
  | { e: "acked_lost"; channel: string; count: number; from: Position | null; to: Position | null }
  | { e: "token"; id: number; channel: string | null }
  | { e: "resolve"; id: number };

/** How a channel stands that was just subscribed. */
export interface WireStanding {
  key: number;
  status: "unsubscribed" | "subscribing" | "subscribed";
  position: Position | null;
  data: unknown;
  retention: Retention | null;
}

export const toError = (error: WireError): RealtimeError =>
  new RealtimeError(errorName(error.kind), {
    code: error.code,
    detail: error.detail,
    retryable: error.retryable,
    limit: error.limit && { actual: error.limit[0], maximum: error.limit[1] },
  });

export const toInfo = (info: WireInfo): ClientInfo => ({
  user: info.user ?? "",
  client: info.client ?? "",
  connInfo: info.conn_info ?? null,
  chanInfo: info.chan_info ?? null,
});

export const toMessage = <M>(publication: WirePublication, epoch: string): ChannelMessage<M> => ({
  type: "message",
  id: publication.id ?? "",
  state: "sent",
  data: (publication.data === undefined ? null : publication.data) as M,
  epoch: publication.offset ? epoch : "",
  offset: publication.offset ?? 0,
  time: publication.time ?? 0,
  info: publication.info ? toInfo(publication.info) : null,
  tags: publication.tags ?? null,
});

/** An event of a channel that is neither an error nor a change of state alone. */
export type AppChannelEvent =
  | ChannelMessage
  | ChannelGap
  | SubscribingEvent
  | SubscribedEvent
  | UnsubscribedEvent
  | JoinedEvent
  | LeftEvent
  | AckedLostEvent;

export const toChannelEvent = (
  event: Exclude<WireChannelEvent, { t: "error" }>,
  epoch: string,
): Exclude<AppChannelEvent, AckedLostEvent> => {
  switch (event.t) {
    case "message":
      return toMessage(event.m, epoch);
    case "gap":
      return { type: "gap", from: event.from, to: event.to, reason: event.reason };
    case "subscribing":
      return { type: "subscribing", reason: event.reason };
    case "unsubscribed":
      return { type: "unsubscribed", reason: event.reason };
    case "subscribed":
      return {
        type: "subscribed",
        position: event.position,
        wasRecovering: event.was,
        recovered: event.recovered,
        missed: event.missed,
        data: event.data,
        retention: event.retention,
      };
    case "joined":
      return { type: "joined", info: toInfo(event.info) };
    case "left":
      return { type: "left", info: toInfo(event.info) };
  }
};
