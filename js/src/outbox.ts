// The outbox as an app sees it: every accepted message until it has settled. Owns the picture of it while somebody
// looks, and nothing else: what happens to a message is the module's decision. Made by the client, used by channels.

import type { Bridge, Host } from "./bridge.js";
import { refusal, type Calls } from "./calls.js";
import { Emitter, type HandlerFailed } from "./emitter.js";
import { RealtimeError } from "./errors.js";
import { json } from "./options.js";
import type { ChannelMessage, Position, Sending, Undo } from "./types.js";
import { DISCARD, EDIT, OBSERVE, OUTBOX, RETRY } from "./verbs.generated.js";
import { toError, type WireEntry, type WireOutbox, type WireOutboxChange } from "./wire.js";

/** A message of the outbox, as it stood when it was looked at. */
export class OutboxEntry {
  /** The message's id. */
  readonly id: string;
  readonly channel: string;
  readonly data: unknown;
  /** When it was published, Unix milliseconds. */
  readonly queuedAt: number;
  /** Whether it was ever handed to a socket: it may have arrived, and can be neither changed nor taken back. */
  readonly wasSent: boolean;
  /** parked: not sent by itself any more; waits for `retry` or `discard`. */
  readonly state: "queued" | "sending" | "parked";
  /** Why it is parked. */
  readonly reason: RealtimeError | null;
  readonly #n: number;
  readonly #home: OutboxHome;
  /** Who knows it by that number. */
  readonly #host: Host | undefined;

  /** @internal */
  constructor(entry: WireEntry, home: OutboxHome) {
    this.id = entry.id;
    this.channel = entry.channel;
    this.data = entry.data;
    this.queuedAt = entry.at;
    this.wasSent = entry.sent;
    this.state = entry.state;
    this.reason = entry.error ? toError(entry.error) : null;
    this.#n = entry.n;
    this.#host = home.bridge.host;
    this.#home = home;
  }

  /** Puts other data into a message that was never sent. Throws `already_sent`, `not_in_outbox` or what is wrong with the data. */
  edit(data: unknown): void {
    this.#tell(EDIT, json(data));
  }

  /** Takes back a message that was never sent (its promise rejects with `cancelled`), or gives up a parked one. Throws `already_sent`, `not_in_outbox`. */
  discard(): void {
    this.#tell(DISCARD, "");
  }

  /** Publishes a parked message again, as it is or with other data: a new message with a new id. Throws `not_parked`, `not_in_outbox`. */
  retry(...data: [data?: unknown]): Sending {
    const text = data.length > 0 ? json(data[0]) : "";
    this.#check();
    return this.#home.calls.publish((host) => host.tell(RETRY, "", text, this.#n, 0), text);
  }

  #check(): void {
    if (this.#host !== this.#home.bridge.host) throw RealtimeError.of("not_in_outbox");
  }

  #tell(verb: number, data: string): void {
    this.#check();
    let wrong: RealtimeError | undefined;
    this.#home.bridge.run(
      (host) => {
        if (host.tell(verb, "", data, this.#n, 0) < 0) wrong = refusal(host);
      },
      (error) => (wrong = error),
    );
    if (wrong) throw wrong;
  }
}

/** Something happened to a message of the outbox. */
export interface OutboxChange {
  /** acked: the server has it; handed_over: another instance of the app sends it. Both have left, as discarded ones. */
  readonly type: "added" | "edited" | "state" | "acked" | "discarded" | "handed_over";
  /** The message, as it stands or as it last stood. */
  readonly entry: OutboxEntry;
  /** Where an acked one stands; null: the server does not tell. */
  readonly position: Position | null;
  /** When the server took an acked one, Unix milliseconds; 0: not told. */
  readonly time: number;
}

/** How much is in the outbox. */
export interface OutboxSize {
  readonly count: number;
  /** Of payload. */
  readonly bytes: number;
  /** How long the oldest message has waited, milliseconds; 0: there is none. */
  readonly oldestAge: number;
}

interface OutboxHome {
  readonly bridge: Bridge;
  readonly calls: Calls;
}

/** All messages that have not settled, of all channels. Reading never connects. */
export class Outbox {
  readonly #home: OutboxHome;
  readonly #failed: HandlerFailed;
  readonly #emitter: Emitter<{ change: OutboxChange }>;
  /** The picture, while somebody listens. */
  #seen: Map<number, OutboxEntry> | undefined;

  /** @internal */
  constructor(home: OutboxHome, failed: HandlerFailed) {
    this.#home = home;
    this.#failed = failed;
    this.#emitter = new Emitter(failed);
  }

  /** The messages, oldest first. */
  get entries(): readonly OutboxEntry[] {
    return [...(this.#seen ?? this.#read()).values()].sort((one, other) => one.queuedAt - other.queuedAt);
  }

  /** How much there is, parked ones included. */
  get size(): OutboxSize {
    const { count, bytes, oldest } = this.#ask(0);
    return { count, bytes, oldestAge: count > 0 ? Math.max(0, Date.now() - oldest) : 0 };
  }

  /** The message of this id, while it is there. */
  find(id: string): OutboxEntry | undefined {
    return this.entries.find((entry) => entry.id === id);
  }

  /** Listens to every change, stored messages of an earlier life that come back included. */
  on(type: "change", listener: (change: OutboxChange) => unknown): Undo {
    const undo = this.#emitter.on(type, listener);
    if (!this.#seen) {
      this.#seen = this.#read();
      this.#home.bridge.host?.tell(OBSERVE, "", "", 1, 0);
    }
    return () => {
      undo();
      if (this.#emitter.has("change") || !this.#seen) return;
      this.#seen = undefined;
      if (!this.#home.calls.orphaned) this.#home.bridge.host?.tell(OBSERVE, "", "", 0, 0);
    };
  }

  /** @internal One channel's messages, those that are there already included, as a reader of the channel sees them. */
  echo(channel: string, listener: (message: ChannelMessage, added: boolean) => unknown): Undo {
    const emitter = new Emitter<{ echo: OutboxChange }>(this.#failed);
    emitter.on("echo", (change) => {
      const message = change.entry.channel === channel && toEcho(change);
      return message && listener(message, change.type === "added");
    });
    const undo = this.on("change", (change) => emitter.emit("echo", change));
    const known = this.entries.map(({ id }) => id);
    // No listener is called while it is being added.
    queueMicrotask(() => {
      for (const entry of this.entries) {
        if (known.includes(entry.id)) emitter.emit("echo", { type: "added", entry, position: null, time: 0 });
      }
    });
    return () => {
      emitter.clear();
      undo();
    };
  }

  /** @internal The client is over. */
  end(): void {
    this.#emitter.clear();
    this.#seen = undefined;
  }

  /** @internal A module's client was made, and its outbox is empty. */
  begun(host: Host): void {
    const seen = this.#seen;
    if (seen || this.#home.calls.orphaned) host.tell(OBSERVE, "", "", 1, 0);
    if (!seen) return;
    this.#seen = new Map();
    // Of a client that died before it: what it had stored comes back under the same ids.
    for (const entry of seen.values()) this.#emitter.emit("change", { type: "discarded", entry, position: null, time: 0 });
  }

  /** @internal */
  heard({ n, t: type, entry: wire, position = null, time = 0 }: WireOutboxChange): void {
    const seen = this.#seen;
    if (!seen) return;
    const entry = wire ? new OutboxEntry(wire, this.#home) : seen.get(n);
    if (wire && entry) seen.set(n, entry);
    else seen.delete(n);
    if (entry) this.#emitter.emit("change", { type, entry, position, time });
  }

  #ask(whole: 0 | 1): WireOutbox {
    const host = this.#home.bridge.host;
    // What waits for the module counts, too.
    if (!host || host.tell(OUTBOX, "", "", whole, 0) < 0) return { ...this.#home.calls.early, oldest: Date.now() };
    return JSON.parse(host.said()) as WireOutbox;
  }

  #read(): Map<number, OutboxEntry> {
    return new Map((this.#ask(1).entries ?? []).map((entry) => [entry.n, new OutboxEntry(entry, this.#home)]));
  }
}

const toEcho = ({ type, entry, position, time }: OutboxChange): ChannelMessage | undefined => {
  const { id, data, reason, queuedAt } = entry;
  const message = { type: "message", id, data, epoch: "", offset: 0, time: queuedAt, info: null, tags: null } as const;
  switch (type) {
    case "handed_over":
      return undefined;
    case "acked":
      return { ...message, ...position, time: time || queuedAt, state: "sent" };
    case "discarded":
      return { ...message, state: "discarded" };
    default:
      if (reason) return { ...message, state: "failed", failure: reason };
      return type === "state" ? undefined : { ...message, state: "pending" };
  }
};
