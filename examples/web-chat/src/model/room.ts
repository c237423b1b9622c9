// One room: a channel's messages as a timeline, its members, and what one wrote oneself. Stays subscribed until
// it is left, so that a room in the background counts what is new.

import {
  RealtimeError,
  type Channel,
  type ChannelGap,
  type ChannelMessage,
  type HistoryPage,
  type RealtimeClient,
  type Sending,
  type SubscribedEvent,
} from "homing";
import { Members, type Member } from "./members.js";
import { readNote, type Note } from "./note.js";
import type { Person } from "./person.js";
import { Timeline, type MessageEntry } from "./timeline.js";
import { sentence } from "./words.js";

/** The namespace that the server's development configuration has. */
const NAMESPACE = "chat:";
/** Messages of history that a room begins with, and that each scroll to the top adds. */
const PAGE = 50;

export interface RoomHome {
  readonly client: RealtimeClient;
  readonly me: Person;
  /** How long the line was away before it last came back, milliseconds. */
  readonly away: number;
  /** The room on the page. */
  readonly current: Room;
  changed(room: Room): void;
  /** A message went out or came in over the line. */
  flew(direction: "out" | "in"): void;
  complain(what: string, why: string): void;
  /** A message was accepted; its end is shown by its echo. */
  kept(sending: Sending): void;
}

export class Room {
  readonly name: string;
  readonly timeline = new Timeline();
  readonly #home: RoomHome;
  readonly #channel: Channel<{ message: unknown }>;
  readonly #members = new Members();
  /** Messages behind `from`, up to there, are fetched after an absence. */
  #returning:
    | { readonly key: string; readonly epoch: string; readonly from: number; readonly upTo: number; readonly away: number }
    | undefined;
  #unread = 0;
  /** Where the channel stood when the room was first opened: what is behind it is news. */
  #start: { readonly epoch: string; readonly offset: number } | undefined;
  #loaded = false;
  #atBeginning = false;
  #loadingOlder = false;
  #ended: string | undefined;

  constructor(name: string, home: RoomHome) {
    this.name = name;
    this.#home = home;
    this.#channel = home.client.channel(NAMESPACE + name, { joinLeave: true, durable: true });
    this.#listen();
    void this.#read();
  }

  get unread(): number {
    return this.#unread;
  }

  /** One's own messages that the server does not have yet. */
  get waiting(): number {
    return this.timeline.waiting;
  }

  /** Who is here, oneself first. */
  get people(): readonly Member[] {
    return this.#members.list((id) => this.isSelf(id));
  }

  /** Whether older messages are on their way. */
  get loadingOlder(): boolean {
    return this.#loadingOlder;
  }

  /** Whether the first page of history is there. */
  get loaded(): boolean {
    return this.#loaded;
  }

  /** Whether the server keeps nothing older. */
  get atBeginning(): boolean {
    return this.#atBeginning;
  }

  /** Why nothing comes any more; undefined: it does. */
  get ended(): string | undefined {
    return this.#ended;
  }

  /** Whether a person of this id is oneself: by the token, or where the server knows no users, by the connection. */
  isSelf(id: string): boolean {
    const { state } = this.#home.client;
    return id === this.#home.me.id || (state.status === "connected" && (id === state.user || id === state.client));
  }

  seen(): void {
    if (this.#unread === 0) return;
    this.#unread = 0;
    this.#home.changed(this);
  }

  /** Publishes; what the client refuses at once is said, and the words stay with the writer. */
  say(text: string): boolean {
    return this.#try("This cannot be sent", () => this.#home.kept(this.#channel.publish(this.#note(text))));
  }

  /** The words of one's own message that can still be changed; undefined: it cannot. */
  draftOf(key: string): string | undefined {
    return this.timeline.find(key)?.note.text;
  }

  /**
   * Puts other words into a message: one that was never sent keeps its place, a refused one goes out
   * anew, and so does one that has left the outbox.
   */
  mend(key: string, text: string): boolean {
    const entry = this.#home.client.outbox.find(key);
    if (!entry) return this.say(text);
    return this.#try("This cannot be changed", () => {
      if (entry.state === "parked") this.#home.kept(entry.retry(this.#note(text)));
      else entry.edit(this.#note(text));
    });
  }

  retry(key: string): void {
    this.#try("This cannot be sent", () => {
      const sending = this.#home.client.outbox.find(key)?.retry();
      if (sending) this.#home.kept(sending);
    });
  }

  discard(key: string): void {
    this.#try("This cannot be taken back", () => this.#home.client.outbox.find(key)?.discard());
  }

  async loadOlder(): Promise<void> {
    const oldest = this.timeline.oldest;
    if (this.#loadingOlder || this.#atBeginning || !oldest) return;
    this.#loadingOlder = true;
    this.#home.changed(this);
    try {
      const since = { epoch: oldest.epoch, offset: oldest.offset };
      this.#prepend(await this.#channel.history({ limit: PAGE, since, reverse: true }));
    } catch (error) {
      // What may pass is asked again when the reader scrolls on.
      if (isPassing(error)) return;
      this.#atBeginning = true;
      if (!(error instanceof RealtimeError && error.name === "unrecoverable_position")) {
        this.#home.complain("Older messages could not be read", sentence(error));
      }
    } finally {
      this.#loadingOlder = false;
    }
    this.#home.changed(this);
  }

  /** Drops what is far above; for when nobody reads there. */
  trim(): void {
    if (this.timeline.trim()) this.#atBeginning = false;
  }

  async leave(): Promise<void> {
    await this.#channel.leave();
  }

  #listen(): void {
    this.#channel.on("subscribed", (event) => this.#subscribed(event));
    this.#channel.on("joined", ({ info }) => this.#memberChanged(() => this.#members.join(info)));
    this.#channel.on("left", ({ info }) => this.#memberChanged(() => this.#members.leave(info)));
    this.#channel.on("state", () => this.#home.changed(this));
    // Of what was missed while the page was away: the loop begins with the newest of history.
    this.#channel.on("gap", (gap) => this.#gap(gap));
    this.#channel.on("error", (error) => {
      if (error.retryable) return;
      // Where the end of the room follows, the room says so itself.
      queueMicrotask(() => this.#ended ?? this.#home.complain(`Something is wrong with ${this.name}`, sentence(error)));
    });
    this.#channel.on("unsubscribed", ({ reason }) => {
      this.#ended = reason.text;
      this.#home.changed(this);
    });
  }

  async #read(): Promise<void> {
    try {
      for await (const item of this.#channel.messages({ last: PAGE, echo: true })) {
        if (item.type === "gap") this.#gap(item);
        else if (item.state === "sent") this.#message(item);
        else this.#own(item);
        if (item.type === "gap" || item.offset > 0) this.#caughtUp(item.type === "gap" ? item.to : item);
      }
    } catch (error) {
      this.#ended ??= sentence(error);
      this.#home.changed(this);
    }
  }

  #subscribed({ wasRecovering, position, missed }: SubscribedEvent): void {
    const away = this.#start ? this.#home.away : 0;
    this.#start ??= position ?? { epoch: "", offset: 0 };
    if (wasRecovering && position && missed !== 0) {
      const { epoch, offset } = position;
      const from = missed === null ? 0 : offset - missed;
      this.#returning = { key: `return ${epoch} ${offset} ${Date.now()}`, epoch, from, upTo: offset, away };
      this.#caughtUp({ epoch, offset: this.#seen.epoch === epoch ? this.#seen.offset : 0 });
    }
    if (this.#start.offset === 0) this.#opened();
    else if (!this.#loaded) void this.#lookForHistory();
    void this.#readMembers();
  }

  /** The newest position that was shown. */
  #seen = { epoch: "", offset: 0 };

  /** Ends the return once everything up to the server's position at that time is here. */
  #caughtUp(at: { readonly epoch: string; readonly offset: number }): void {
    this.#seen = { epoch: at.epoch, offset: at.offset };
    if (!this.#loaded && this.#start && (at.epoch !== this.#start.epoch || at.offset >= this.#start.offset)) this.#opened();
    const returning = this.#returning;
    if (!returning || (at.epoch === returning.epoch && at.offset < returning.upTo)) return;
    this.#returning = undefined;
    this.timeline.allReturned(returning.key);
    this.#home.changed(this);
  }

  /** A room whose messages have all been dropped has none that would tell that its history was read. */
  async #lookForHistory(): Promise<void> {
    try {
      const { messages } = await this.#channel.history({ limit: 1, reverse: true });
      if (messages.length > 0) return;
      this.#atBeginning = true;
      this.#opened();
    } catch (error) {
      if (!isPassing(error)) this.#home.complain(`The history of ${this.name} could not be read`, sentence(error));
    }
  }

  #opened(): void {
    this.#loaded = true;
    this.#home.changed(this);
  }

  async #readMembers(): Promise<void> {
    try {
      const all = await this.#channel.presence.get();
      this.#memberChanged(() => this.#members.replace(all));
    } catch (error) {
      if (!isPassing(error)) this.#home.complain("Who is here could not be read", sentence(error));
    }
  }

  #memberChanged(change: () => void): void {
    change();
    this.#home.changed(this);
  }

  #message(message: ChannelMessage): void {
    const entry = this.#entry(message);
    if (!entry) return;
    const { epoch, offset } = message;
    const returning = this.#returning?.epoch === epoch ? this.#returning : undefined;
    const recovered = returning !== undefined && offset > returning.from && offset <= returning.upTo;
    this.#members.signed(message.info, entry.note.name);
    const known = this.timeline.find(entry.key);
    if (recovered && !known) this.timeline.returned(returning.key, { epoch, offset: returning.from }, returning.away);
    const isNews = this.timeline.arrive({ ...entry, recovered });
    if (this.#loaded && this.#home.current !== this) this.trim();
    const old = this.#start?.epoch === epoch && offset <= this.#start.offset && !recovered;
    if (isNews && !entry.own && !old) {
      this.#unread += 1;
      this.#home.flew("in");
    }
    this.#home.changed(this);
  }

  /** One's own message that the channel does not have, as it stands. */
  #own(message: ChannelMessage): void {
    const entry = this.#entry(message);
    if (message.state === "discarded" || !entry) this.timeline.remove(message.id);
    else {
      const state = message.state === "failed" ? "failed" : "waiting";
      this.timeline.write({ ...entry, own: true, state, failure: message.failure ? sentence(message.failure) : "" });
    }
    this.#home.changed(this);
  }

  #entry(message: ChannelMessage): MessageEntry | undefined {
    const { id, data, info, epoch, offset, time } = message;
    const note = readNote(data, info);
    if (!note) return undefined;
    const own = this.isSelf(note.user);
    const key = id || `${epoch} ${offset}`;
    return { kind: "message", key, note, own, recovered: false, state: "sent", failure: "", time, offset, epoch };
  }

  #gap(gap: ChannelGap): void {
    this.timeline.gap(gap);
    this.#home.changed(this);
  }

  #prepend(page: HistoryPage<unknown>): void {
    const older = [...page.messages].reverse();
    if (older.length === 0) this.#atBeginning = true;
    this.timeline.prepend(older.flatMap((message) => this.#entry(message) ?? []));
  }

  #note(text: string): Note {
    const { id, name } = this.#home.me;
    return { user: id, name, text };
  }

  #try(what: string, act: () => unknown): boolean {
    try {
      act();
      return true;
    } catch (error) {
      this.#home.complain(what, sentence(error));
      return false;
    }
  }
}

/** Whether the next attempt may go better: the line broke, or the server is busy. */
const isPassing = (error: unknown): boolean =>
  error instanceof RealtimeError && (error.retryable || error.name === "outcome_unknown");
