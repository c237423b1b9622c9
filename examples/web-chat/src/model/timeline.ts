// What a room's list shows, in order: messages, gaps, and the marks above what came back after an absence.
// Owns order and the absence of duplicates on the screen; knows nothing of connections.

import type { ChannelGap, GapReason } from "homing";
import type { Note } from "./note.js";

/** A message, one's own from the moment it is written. */
export interface MessageEntry {
  readonly kind: "message";
  readonly key: string;
  readonly note: Note;
  readonly own: boolean;
  /** Whether the client fetched it after an absence. */
  readonly recovered: boolean;
  readonly state: "waiting" | "sent" | "failed";
  /** Why it failed; empty otherwise. */
  readonly failure: string;
  /** Unix milliseconds; 0: the server does not tell. */
  readonly time: number;
  /** 0: the server has not told yet. */
  readonly offset: number;
  readonly epoch: string;
}

/** Messages that will not come. */
export interface GapEntry {
  readonly kind: "gap";
  readonly key: string;
  /** 0: nobody knows how many. */
  readonly count: number;
  readonly reason: GapReason;
}

/** Stands above the messages that came back. */
export interface ReturnEntry {
  readonly kind: "return";
  readonly key: string;
  readonly count: number;
  /** How long the line was away, milliseconds. */
  readonly away: number;
}

export type Entry = MessageEntry | GapEntry | ReturnEntry;

/** More are dropped from the top while nobody reads there; scrolling up reads them again. */
const KEPT = 400;

export class Timeline {
  #entries: Entry[] = [];
  #arrivals = 0;

  get entries(): readonly Entry[] {
    return this.#entries;
  }

  /** The oldest message that has a position. */
  get oldest(): MessageEntry | undefined {
    return this.#entries.find((entry): entry is MessageEntry => entry.kind === "message" && entry.offset > 0);
  }

  /** How many came from others or came back, from the beginning. */
  get arrivals(): number {
    return this.#arrivals;
  }

  /** One's own messages that the server does not have yet. */
  get waiting(): number {
    let waiting = 0;
    for (let at = this.#entries.length - 1; at >= 0; at -= 1) {
      const entry = this.#entries[at];
      if (entry?.kind !== "message" || entry.offset > 0) break;
      if (entry.state === "waiting") waiting += 1;
    }
    return waiting;
  }

  find(key: string): MessageEntry | undefined {
    const found = this.#entries.find((entry) => entry.key === key);
    return found?.kind === "message" ? found : undefined;
  }

  /** Adds what arrived; takes the place of one's own copy that waited. Says whether it is news. */
  arrive(message: MessageEntry): boolean {
    const known = this.find(message.key);
    if (known && known.offset > 0) return false;
    if (known) {
      this.#entries = this.#entries.filter((entry) => entry !== known);
      this.#insert({ ...message, time: message.time || known.time, recovered: false });
      return false;
    }
    this.#insert(message);
    this.#arrivals += 1;
    return true;
  }

  /** Adds one's own message at the end, before it is sent. */
  write(message: MessageEntry): void {
    this.#entries.push(message);
  }

  change(key: string, change: Partial<Pick<MessageEntry, "state" | "failure" | "time">>): void {
    this.#entries = this.#entries.map((entry) =>
      entry.key === key && entry.kind === "message" ? { ...entry, ...change } : entry,
    );
  }

  remove(key: string): void {
    this.#entries = this.#entries.filter((entry) => entry.key !== key);
  }

  /** Adds older messages, oldest first, above everything. */
  prepend(messages: readonly MessageEntry[]): void {
    const shown = new Set(this.#entries.map((entry) => entry.key));
    this.#entries = [...messages.filter((message) => !shown.has(message.key)), ...this.#entries];
  }

  gap({ from, to, reason }: ChannelGap): void {
    const count = from.epoch === to.epoch && from.offset > 0 ? to.offset - from.offset + 1 : 0;
    this.#insert({ kind: "gap", key: `gap ${to.epoch} ${to.offset}`, count, reason });
  }

  /** Opens a mark above what comes next, or counts one more below it. */
  returned(key: string, away: number): void {
    const mark = this.#entries.find((entry) => entry.key === key);
    if (!mark) this.#insert({ kind: "return", key, count: 1, away });
    else if (mark.kind === "return") this.#entries[this.#entries.indexOf(mark)] = { ...mark, count: mark.count + 1 };
  }

  /** Drops the oldest beyond what is kept. */
  trim(): boolean {
    if (this.#entries.length <= KEPT) return false;
    this.#entries = this.#entries.slice(-KEPT);
    return true;
  }

  /** What waits or failed stays at the end: the server has not put it into the order yet. */
  #insert(entry: Entry): void {
    let at = this.#entries.length;
    while (at > 0) {
      const before = this.#entries[at - 1];
      if (before?.kind !== "message" || before.offset > 0 || before.state === "sent") break;
      at -= 1;
    }
    this.#entries.splice(at, 0, entry);
  }
}
