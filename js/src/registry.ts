// The channels of one client: one shared record per name, however many handles hold it. Owns the keys that the
// module knows channels by and the hand-over of events to handles; never decides what happens on the wire.

import type { Bridge, Host } from "./bridge.js";
import { refusal } from "./calls.js";
import { RealtimeError } from "./errors.js";
import { standing } from "./messages.js";
import { Progress } from "./progress.js";
import type { ChannelGap, Position, ReloadContext, ServerChannelEvent, SubscriptionState } from "./types.js";
import { PROCESSED, SUBSCRIBE, UNSUBSCRIBE } from "./verbs.generated.js";
import {
  toChannelEvent,
  toError,
  type AppChannelEvent,
  type WireChannelEvent,
  type WireStanding,
} from "./wire.js";

/** A handle, as the registry sees it. */
export interface Member {
  deliver(event: AppChannelEvent): void;
  fail(error: RealtimeError): void;
  /** The shared state was replaced. */
  changed(state: SubscriptionState): void;
  /** The client is over: no event comes any more. */
  over(error: RealtimeError): void;
}

/** What the module is told to subscribe with. */
export interface JoinOptions {
  readonly token: string;
  readonly data: string;
  readonly flags: number;
  readonly epoch: string | undefined;
  readonly offset: number;
  /** The app says what it has processed. */
  readonly manual: boolean;
  /** Closes a gap. */
  readonly reload: ((gap: ChannelGap, context: ReloadContext) => unknown) | undefined;
  /** Asked for a token of the channel. */
  readonly provider: ((context: { channel: string; signal: AbortSignal }) => string | Promise<string>) | undefined;
}

export interface ChannelRecord {
  readonly name: string;
  /** What the module calls it; undefined until it was told, and after the end. */
  key: number | undefined;
  /** Epoch of the messages that come. */
  epoch: string;
  state: SubscriptionState;
  /** Replaced when it changes, so that a handle that comes during a delivery does not get it. */
  members: readonly Member[];
  readonly options: JoinOptions;
  /** How each handle of the app joins. */
  readonly joins: Set<() => void>;
  /** The last message that was handed over, or that will never come. */
  at: Position | undefined;
  /** Where a client of the module that was built anew goes on. */
  since: Position | undefined;
  /** How far the app has processed it; undefined: it is not durable. */
  readonly progress: Progress | undefined;
}

/** The flag of a durable channel. */
export const DURABLE = 32;

const joining: SubscriptionState = Object.freeze({
  status: "subscribing",
  reason: Object.freeze({ code: 4, text: "subscribe called" }),
});

export class Registry {
  readonly #bridge: Bridge;
  readonly #byName = new Map<string, ChannelRecord>();
  readonly #byKey = new Map<number, ChannelRecord>();
  /** Channels that the server subscribed, by key. */
  readonly #server = new Map<number, { name: string; epoch: string }>();
  readonly #served: (event: ServerChannelEvent) => void;

  constructor(bridge: Bridge, served: (event: ServerChannelEvent) => void) {
    this.#bridge = bridge;
    this.#served = served;
  }

  /** The channel that a frame names, where a handle of the app reads it. */
  named(name: string): ChannelRecord | undefined {
    return this.#byName.get(name);
  }

  /** Adds a handle; the first one subscribes. Gives back how it leaves. */
  join(name: string, options: JoinOptions, member: Member): { record: ChannelRecord; leave: () => void } {
    let record = this.#byName.get(name);
    if (record && record.members.length > 0 && !same(record.options, options)) {
      throw RealtimeError.of("options_conflict", name);
    }
    if (!record || record.members.length === 0) {
      const { epoch, offset } = options;
      const since = epoch === undefined ? undefined : { epoch, offset };
      const progress = options.flags & DURABLE ? new Progress((position) => this.#processed(made, position)) : undefined;
      const made: ChannelRecord = {
        name,
        key: undefined,
        epoch: "",
        state: joining,
        members: [],
        options,
        joins: new Set(),
        at: since,
        since,
        progress,
      };
      record = made;
      this.#byName.set(name, record);
    }
    const joined = record;
    joined.members = [...joined.members, member];
    /** Given by this host, and of no meaning to another one. */
    let handle: { id: number; host: Host } | undefined;
    let left = false;
    const subscribe = (): void => {
      this.#bridge.run(
        (host) => {
          if (left) return;
          const { token, data, flags } = options;
          const { epoch = "", offset = 0 } = joined.since ?? {};
          const made = host.tell(SUBSCRIBE, name, `${token}\n${data}\n${epoch}`, flags, offset);
          if (made < 0) {
            this.#refused(joined, refusal(host));
            return;
          }
          handle = { id: made, host };
          const standing = JSON.parse(host.said()) as WireStanding;
          const key = standing.key;
          if (joined.key !== key) {
            if (joined.key !== undefined) this.#byKey.delete(joined.key);
            joined.key = key;
            this.#byKey.set(key, joined);
            this.#adopt(joined, standing);
          }
        },
        (error) => {
          // Joined again by `restart`.
          if (error.name !== "restarted") this.#refused(joined, error);
        },
      );
    };
    joined.joins.add(subscribe);
    subscribe();
    const leave = (): void => {
      if (left) return;
      left = true;
      joined.joins.delete(subscribe);
      joined.members = joined.members.filter((other) => other !== member);
      if (joined.members.length === 0) this.#forget(joined);
      const { id, host } = handle ?? {};
      if (host && host === this.#bridge.host) this.#bridge.run(() => host.tell(UNSUBSCRIBE, "", "", id ?? 0, 0));
    };
    return { record: joined, leave };
  }

  /** An event of the module for a channel. */
  dispatch(key: number, event: WireChannelEvent): void {
    const record = this.#byKey.get(key);
    if (!record) {
      this.#serve(key, event);
      return;
    }
    if (event.t === "error") {
      const error = toError(event.error);
      for (const member of record.members) member.fail(error);
      return;
    }
    const shown = toChannelEvent(event, record.epoch);
    switch (shown.type) {
      case "subscribed": {
        record.epoch = shown.position?.epoch ?? "";
        const { position, data, retention } = shown;
        // What was missed follows, and moves it.
        if (!shown.wasRecovering) record.at = position ?? undefined;
        this.#change(record, { status: "subscribed", position, data, retention });
        break;
      }
      case "subscribing":
        if (record.state.status !== "subscribing" || record.state.reason.code !== shown.reason.code) {
          this.#change(record, { status: "subscribing", reason: shown.reason });
        }
        break;
      case "unsubscribed":
        this.#forget(record);
        this.#change(record, { status: "unsubscribed", reason: shown.reason });
        break;
      case "gap":
        record.epoch = shown.to.epoch;
        record.at = shown.to.offset > 0 ? shown.to : undefined;
        break;
      case "message":
        record.at = shown.offset > 0 ? shown : undefined;
        break;
      default:
    }
    if (shown.type === "message" || shown.type === "gap") {
      const { epoch, offset } = standing(shown);
      record.progress?.handed(epoch, offset);
    }
    for (const member of record.members) member.deliver(shown);
  }

  /** An event of the client that is one of a channel, too. */
  tell(name: string, event: AppChannelEvent): void {
    for (const member of this.#byName.get(name)?.members ?? []) member.deliver(event);
  }

  serverSubscribed(key: number, name: string): void {
    if (!this.#byKey.has(key)) this.#server.set(key, { name, epoch: "" });
  }

  serverUnsubscribed(key: number): void {
    this.#server.delete(key);
  }

  /** The module's client was lost: every channel is joined again, behind the last message that the app got. */
  restart(error: RealtimeError): void {
    const reason = { code: error.code, text: error.message };
    const served = [...this.#server.values()];
    this.#server.clear();
    this.#byKey.clear();
    const records = [...this.#byName.values()];
    for (const record of records) {
      record.key = undefined;
      this.#change(record, { status: "subscribing", reason });
      for (const member of record.members) member.deliver({ type: "subscribing", reason });
    }
    // Nobody knows what is missed in these.
    for (const { name } of served) this.#served({ channel: name, event: { type: "unsubscribed", reason } });
    this.#bridge.run(() => {
      for (const record of records) record.since = record.at;
    });
    for (const { joins } of records) for (const subscribe of [...joins]) subscribe();
  }

  /** Tells what was processed and not told yet. */
  flush(): void {
    for (const record of this.#byName.values()) record.progress?.flush();
  }

  #processed({ key }: ChannelRecord, { epoch, offset }: Position): void {
    if (key !== undefined) this.#bridge.run((host) => host.tell(PROCESSED, epoch, "", key, offset));
  }

  /** The client is over: nothing follows on any handle. */
  end(error: RealtimeError): void {
    const records = [...this.#byName.values()];
    this.#byName.clear();
    this.#byKey.clear();
    this.#server.clear();
    for (const record of records) {
      record.key = undefined;
      for (const member of record.members) member.over(error);
    }
  }

  #serve(key: number, event: WireChannelEvent): void {
    const channel = this.#server.get(key);
    if (!channel || event.t === "error") return;
    const shown = toChannelEvent(event, channel.epoch);
    if (shown.type === "subscribed") channel.epoch = shown.position?.epoch ?? "";
    if (shown.type === "gap") channel.epoch = shown.to.epoch;
    this.#served({ channel: channel.name, event: shown });
  }

  /** A handle joined a channel that the module had already, or that it has just begun to subscribe. */
  #adopt(record: ChannelRecord, snapshot: WireStanding): void {
    const { status, position, data, retention } = snapshot;
    this.#server.delete(record.key ?? -1);
    if (status !== "subscribed") return;
    record.at ??= position ?? undefined;
    record.epoch = position?.epoch ?? "";
    this.#change(record, { status, position, data, retention });
  }

  #refused(record: ChannelRecord, error: RealtimeError): void {
    this.#forget(record);
    const reason = { code: error.code, text: error.message };
    this.#change(record, { status: "unsubscribed", reason });
    for (const member of record.members) member.deliver({ type: "unsubscribed", reason });
  }

  #change(record: ChannelRecord, state: SubscriptionState): void {
    record.state = Object.freeze(state);
    for (const member of record.members) member.changed(record.state);
  }

  #forget(record: ChannelRecord): void {
    if (this.#byName.get(record.name) === record) this.#byName.delete(record.name);
    if (record.key !== undefined && this.#byKey.get(record.key) === record) this.#byKey.delete(record.key);
    record.key = undefined;
  }
}

const same = (one: JoinOptions, other: JoinOptions): boolean =>
  one.token === other.token &&
  one.data === other.data &&
  one.flags === other.flags &&
  one.epoch === other.epoch &&
  one.offset === other.offset &&
  // Providers are often made afresh by each render; the first one is asked.
  (one.provider === undefined) === (other.provider === undefined);
