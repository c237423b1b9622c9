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
  /** The last one that is missing. */
  readonly epoch: string;
  readonly offset: number;
  /** 0: nobody knows how many. */
  readonly count: number;
  readonly reason: GapReason;
}

/** Stands above the messages that came back. */
export interface ReturnEntry {
  readonly kind: "return";
  readonly key: string;
  /** The last one that was here before. */
  readonly epoch: string;
  readonly offset: number;
  readonly count: number;
  /** How long the line was away, milliseconds; 0: the page was. */
  readonly away: number;
  /** Whether all of them are here. */
  readonly done: boolean;
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

  /** Shows one's own message that the server does not have: at the end, or where it stood as it changes. */
  write(message: MessageEntry): void {
    const known = this.find(message.key);
    if (known) this.#replace(known, message);
    else this.#entries.push(message);
  }

  remove(key: string): void {
    this.#entries = this.#entries.filter((entry) => entry.key !== key);
  }

  /** Adds older messages, oldest first, above everything. */
  prepend(messages: readonly MessageEntry[]): void {
    const shown = new Set(this.#entries.map((entry) => entry.key));
    const marks = this.#entries.filter((entry) => entry.kind !== "message" && entry.offset > 0);
    this.#entries = [
      ...messages.filter((message) => !shown.has(message.key)),
      ...this.#entries.filter((entry) => !marks.includes(entry)),
    ];
    for (const mark of marks) this.#insert(mark);
  }

  gap({ from, to, reason }: ChannelGap): void {
    const key = `gap ${to.epoch} ${to.offset}`;
    if (this.#entries.some((entry) => entry.key === key)) return;
    const count = from.epoch === to.epoch && from.offset > 0 ? to.offset - from.offset + 1 : 0;
    this.#insert({ kind: "gap", key, epoch: to.epoch, offset: to.offset, count, reason });
  }

  /** Opens a mark behind `at`, or counts one more below it. */
  returned(key: string, at: { readonly epoch: string; readonly offset: number }, away: number): void {
    const mark = this.#mark(key);
    if (mark) this.#replace(mark, { ...mark, count: mark.count + 1 });
    else this.#insert({ kind: "return", key, epoch: at.epoch, offset: at.offset, count: 1, away, done: false });
  }

  /** All that belongs to a mark is here. */
  allReturned(key: string): void {
    const mark = this.#mark(key);
    if (mark) this.#replace(mark, { ...mark, done: true });
  }

  #mark(key: string): ReturnEntry | undefined {
    return this.#entries.find((entry): entry is ReturnEntry => entry.kind === "return" && entry.key === key);
  }

  #replace(known: Entry, entry: Entry): void {
    this.#entries = this.#entries.map((other) => (other === known ? entry : other));
  }

  /** Drops the oldest beyond what is kept. */
  trim(): boolean {
    if (this.#entries.length <= KEPT) return false;
    this.#entries = this.#entries.slice(-KEPT);
    return true;
  }

  /** In the channel's order; what waits or failed stays at the end: the server has not put it into the order yet. */
  #insert(entry: Entry): void {
    let at = this.#entries.length;
    while (at > 0) {
      const before = this.#entries[at - 1] as Entry;
      const waits = before.kind === "message" && before.offset === 0 && before.state !== "sent";
      const later = entry.offset > 0 && before.epoch === entry.epoch && before.offset > entry.offset;
      if (!waits && !later) break;
      at -= 1;
    }
    this.#entries.splice(at, 0, entry);
  }
}
