// One handle of a channel. Joins when something listens or iterates, never for a publish or a read; leaves once.
// Owns this handle's listeners and iterators; the subscription itself is shared, and lives in the registry.

import { messageId, type Calls } from "./calls.js";
import { dispose } from "./dispose.js";
import { Emitter, type HandlerFailed } from "./emitter.js";
import { RealtimeError } from "./errors.js";
import { readHistory } from "./history.js";
import { Echo } from "./echo.js";
import { Feed, iterate, standing } from "./messages.js";
import { json } from "./options.js";
import type { Outbox } from "./outbox.js";
import type { ChannelRecord, JoinOptions, Member, Registry } from "./registry.js";
import { Reload } from "./reload.js";
import type {
  CallOptions,
  ChannelEvents,
  ChannelGap,
  ChannelMessage,
  ChannelSchema,
  ClientInfo,
  HistoryOptions,
  HistoryPage,
  MessageOf,
  MessagesOptions,
  Position,
  PresenceStats,
  PublishOptions,
  Sending,
  SubscriptionState,
  Undo,
} from "./types.js";
import { PRESENCE, PRESENCE_STATS, PUBLISH } from "./verbs.generated.js";
import { toInfo, type AppChannelEvent, type WireInfo } from "./wire.js";

/** Who is in a channel, as the server knows it. Reading never subscribes. */
export interface Presence {
  /** Everybody, one entry per connection. */
  get(options?: CallOptions): Promise<readonly ClientInfo[]>;
  /** How many. */
  stats(options?: CallOptions): Promise<PresenceStats>;
}

/** @internal What a handle needs of its client. */
export interface ChannelHome {
  readonly calls: Calls;
  readonly registry: Registry;
  readonly outbox: Outbox;
  /** Id of the connection; empty: there is none. */
  readonly client: () => string;
  readonly failed: HandlerFailed;
  /** Throws once the client is over. */
  ensureUsable(): void;
}

const apart: SubscriptionState = Object.freeze({ status: "unsubscribed", reason: null });

export class Channel<S extends ChannelSchema = ChannelSchema> {
  /** Its name. */
  readonly name: string;
  /** Who is here. */
  readonly presence: Presence;
  readonly #home: ChannelHome;
  readonly #options: JoinOptions;
  readonly #emitter: Emitter<ChannelEvents<S>>;
  readonly #feeds = new Set<Feed<MessageOf<S>>>();
  readonly #member: Member;
  #record: ChannelRecord | undefined;
  #leave: (() => void) | undefined;
  #state: SubscriptionState = apart;
  #left = false;
  readonly #manual: boolean;
  /** With manual acks: the number of the last message that was acked. */
  #acked = 0;
  /** Numbers of what was handed out and is not processed, ascending. */
  readonly #open = new Set<number>();
  #reload: Reload | undefined;
  readonly #echoes = new Set<Undo>();

  /** @internal Made by `client.channel()`. */
  constructor(name: string, home: ChannelHome, options: JoinOptions) {
    this.name = name;
    this.#manual = options.manual;
    this.#home = home;
    this.#options = options;
    this.#emitter = new Emitter(home.failed);
    this.presence = {
      get: (options) => this.#ask((host) => host.tell(PRESENCE, name, "", 0, 0), members, options?.signal),
      stats: (options) => this.#ask((host) => host.tell(PRESENCE_STATS, name, "", 0, 0), (stats: PresenceStats) => stats, options?.signal),
    };
    this.#member = {
      deliver: (event) => this.#deliver(event),
      fail: (error) => {
        if (!this.#left) this.#emitter.emit("error", error);
      },
      changed: (state) => {
        if (this.#left) return;
        this.#state = state;
        this.#emitter.emit("state", state);
      },
      over: (error) => {
        this.#state = Object.freeze({ status: "unsubscribed", reason: { code: error.code, text: error.message } });
        this.#quiet();
        this.#emitter.clear();
        // A loop ends as it would after leave(); only a defect is thrown into it.
        for (const feed of this.#feeds) feed.end(error.name === "closed" ? undefined : error);
        this.#feeds.clear();
      },
    };
  }

  /** The subscription as this handle sees it: a frozen object, replaced at each change. */
  get state(): SubscriptionState {
    return this.#state;
  }

  /** Listens, and subscribes if this handle has not yet. A listener that is added twice is called once. */
  on<T extends keyof ChannelEvents<S> & string>(type: T, listener: (event: ChannelEvents<S>[T]) => unknown): Undo {
    this.#join();
    if (type === "echo") {
      const undo = this.#home.outbox.echo(this.name, listener as (message: ChannelMessage) => unknown);
      this.#echoes.add(undo);
      return undo;
    }
    return this.#emitter.on(type, listener);
  }

  /**
   * Messages and gaps, in order, until `leave` or `close`; throws what ends the subscription for good, or the
   * signal's reason. Subscribes at the call; what comes before the first item is asked for is kept.
   */
  messages(options: MessagesOptions = {}): AsyncGenerator<ChannelMessage<MessageOf<S>> | ChannelGap, void, undefined> {
    this.#join();
    const record = this.#record as ChannelRecord;
    const feed = new Feed<MessageOf<S>>(options.buffer ?? 1024, record);
    this.#feeds.add(feed);
    const echo = options.echo ? new Echo<MessageOf<S>>() : undefined;
    const mute =
      echo &&
      this.#home.outbox.echo(this.name, (message, added) => {
        echo.heard(message as ChannelMessage<MessageOf<S>>, added, record.epoch !== "");
        feed.wake();
      });
    const progress = this.#manual ? undefined : record.progress;
    let at = progress?.seq ?? 0;
    const floor = (): number => at;
    progress?.readers.add(floor);
    return iterate(feed, options, {
      history: (query) => this.history(query),
      echo,
      client: this.#home.client,
      shown: (item) => this.#shown(item),
      done: (position) => {
        if (!progress) return;
        at = Math.max(at, progress.numberOf(position));
        progress.stir();
      },
      release: () => {
        progress?.flush();
        progress?.readers.delete(floor);
        mute?.();
        this.#feeds.delete(feed);
      },
    });
  }

  /**
   * The app has processed a durable channel up to this message, gap or position: after a reload it continues behind
   * it. For handles with `ack: "manual"`; the others do it by themselves.
   */
  ack(at: ChannelMessage<MessageOf<S>> | ChannelGap | Position): void {
    const progress = this.#record?.progress;
    if (!progress || !this.#manual) return;
    this.#acked = Math.max(this.#acked, progress.numberOf("type" in at ? standing(at) : at));
    progress.stir();
  }

  /**
   * Publishes; never subscribes. What is accepted stays in the outbox until it settles, and the promise with it: the
   * acknowledgement, or one typed error. Throws what is wrong with the message: `invalid_payload`,
   * `message_too_large`, `queue_full`; then nothing is queued.
   */
  publish(data: MessageOf<S>, { signal, ephemeral }: PublishOptions = {}): Sending {
    const text = json(data);
    const id = ephemeral ? "" : messageId();
    const over = this.#left ? AbortSignal.abort(RealtimeError.of("unsubscribed", this.name)) : signal;
    const name = `${this.name}\n${id}`;
    return this.#home.calls.publish((host) => host.tell(PUBLISH, name, text, ephemeral ? 1 : 0, 0), text, over, id);
  }

  /** Reads one page of history, and from there the pages beside it. Never subscribes. */
  history(options: HistoryOptions = {}): Promise<HistoryPage<MessageOf<S>>> {
    return readHistory<MessageOf<S>>(this.name, options, (send, decode, signal) => this.#ask(send, decode, signal));
  }

  /** Gives this handle up: no event comes any more. The last handle of a channel unsubscribes. */
  leave(): Promise<void> {
    this.#end();
    return Promise.resolve();
  }

  /** The same as `leave`. */
  [dispose](): void {
    this.#end();
  }

  #end(): void {
    if (this.#left) return;
    this.#record?.progress?.flush();
    this.#left = true;
    this.#state = apart;
    this.#quiet();
    this.#emitter.clear();
    for (const feed of this.#feeds) feed.end();
    this.#feeds.clear();
    this.#leave?.();
    this.#leave = undefined;
  }

  #join(): void {
    this.#home.ensureUsable();
    if (this.#left) throw RealtimeError.of("unsubscribed", this.name);
    if (this.#record) return;
    const { record, leave } = this.#home.registry.join(this.name, this.#options, this.#member);
    this.#record = record;
    this.#leave = leave;
    this.#state = record.state;
    const { progress } = record;
    this.#acked = progress?.seq ?? 0;
    progress?.readers.add(this.#floor);
    const { reload } = this.#options;
    if (!reload) return;
    this.#reload = new Reload({
      reload,
      failed: (cause) => this.#home.failed(cause, "reload"),
      hand: (item, seq) => this.#hand(item, seq),
      hold: (seq) => this.#open.add(seq),
      release: (seq) => this.#close(seq),
    });
  }

  /** No echo and no reload any more. */
  #quiet(): void {
    this.#record?.progress?.readers.delete(this.#floor);
    this.#reload?.end();
    for (const undo of this.#echoes) undo();
    this.#echoes.clear();
  }

  /** How far this handle's listeners are done. */
  readonly #floor = (): number | undefined => {
    for (const seq of this.#open) return seq - 1;
    const reads = this.#emitter.has("message");
    if (this.#manual) return reads || this.#feeds.size > 0 ? this.#acked : undefined;
    return reads ? Infinity : undefined;
  };

  #close(seq: number): void {
    this.#open.delete(seq);
    this.#record?.progress?.stir();
  }

  /** With `ack`, where the app does it. */
  #shown<T extends ChannelMessage<MessageOf<S>> | ChannelGap>(item: T): T {
    if (!this.#manual) return item;
    // Not enumerable: the message stays plain data.
    return Object.defineProperty({ ...item }, "ack", { value: () => this.ack(item) });
  }

  #ask<T, R>(
    send: Parameters<Calls["make"]>[0],
    decode: (result: R) => T,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    if (this.#left) return Promise.reject(RealtimeError.of("unsubscribed", this.name));
    return this.#home.calls.make(send, decode, signal, { question: true });
  }

  #deliver(event: AppChannelEvent): void {
    if (this.#left) return;
    if (event.type === "message" || event.type === "gap") {
      const seq = this.#record?.progress?.seq ?? 0;
      if (this.#reload) this.#reload.take(event, seq);
      else this.#hand(event, seq);
      return;
    }
    this.#emitter.emit(event.type, event);
    if (event.type === "subscribed") for (const feed of this.#feeds) feed.wake();
    if (event.type === "unsubscribed") {
      const { code, text } = event.reason;
      for (const feed of this.#feeds) feed.end(new RealtimeError("unsubscribed", { code, detail: text }));
    }
  }

  #hand(event: ChannelMessage | ChannelGap, seq: number): void {
    const item = event as ChannelMessage<MessageOf<S>> | ChannelGap;
    for (const feed of this.#feeds) feed.push(item);
    if (!this.#emitter.has(item.type)) return;
    const promises = this.#emitter.emit(item.type, this.#shown(item));
    if (!promises || this.#manual || !this.#record?.progress) return;
    this.#open.add(seq);
    void Promise.all(promises).then(() => this.#close(seq));
  }
}

const members = (result: { members: WireInfo[] }): readonly ClientInfo[] => result.members.map(toInfo);
