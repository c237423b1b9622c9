// One room: a channel's messages as a timeline, its members, and what one wrote oneself. Stays subscribed until
// it is left, so that a room in the background counts what is new.

import {
  RealtimeError,
  type Channel,
  type ChannelGap,
  type ChannelMessage,
  type HistoryPage,
  type RealtimeClient,
  type SubscribedEvent,
} from "homing";
import { Members, type Member } from "./members.js";
import { readNote, type Note } from "./note.js";
import { isPassing, Outbox } from "./outbox.js";
import { randomId, type Person } from "./person.js";
import { Timeline, type MessageEntry } from "./timeline.js";

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
}

export class Room {
  readonly name: string;
  readonly timeline = new Timeline();
  readonly #home: RoomHome;
  readonly #channel: Channel<{ message: unknown }>;
  readonly #outbox: Outbox;
  readonly #members = new Members();
  /** Messages up to here were fetched after an absence. */
  #returning: { readonly key: string; readonly epoch: string; readonly upTo: number } | undefined;
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
    this.#channel = home.client.channel(NAMESPACE + name, { joinLeave: true });
    this.#outbox = new Outbox({
      ready: () => this.#channel.state.status === "subscribed" && this.#returning === undefined,
      publish: (note) => this.#publish(note),
      arrived: ({ id }) => this.timeline.find(id)?.state === "sent",
      failed: ({ id }, why) => this.#settle(id, { state: "failed", failure: why }),
    });
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

  say(text: string): void {
    const { me } = this.#home;
    const note: Note = { id: randomId(), user: me.id, name: me.name, text };
    this.timeline.write({
      kind: "message",
      key: note.id,
      note,
      own: true,
      recovered: false,
      state: "waiting",
      failure: "",
      time: Date.now(),
      offset: 0,
      epoch: "",
    });
    this.#home.changed(this);
    this.#outbox.add(note);
  }

  retry(key: string): void {
    const entry = this.timeline.find(key);
    if (!entry) return;
    this.#settle(key, { state: "waiting", failure: "" });
    this.#outbox.add(entry.note);
  }

  discard(key: string): void {
    this.#outbox.discard(key);
    this.timeline.remove(key);
    this.#home.changed(this);
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
        this.#home.complain("Older messages could not be read", describe(error));
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
    this.#channel.on("error", (error) => {
      if (!error.retryable) this.#home.complain(`Something is wrong with ${this.name}`, error.message);
    });
    this.#channel.on("unsubscribed", ({ reason }) => {
      this.#ended = reason.text;
      this.#home.changed(this);
    });
  }

  async #read(): Promise<void> {
    try {
      for await (const item of this.#channel.messages({ last: PAGE })) {
        if (item.type === "gap") this.#gap(item);
        else this.#message(item);
        this.#caughtUp(item.type === "gap" ? item.to : item);
      }
    } catch (error) {
      this.#ended = describe(error);
      this.#home.changed(this);
    }
  }

  #subscribed({ wasRecovering, position }: SubscribedEvent): void {
    this.#start ??= position ?? { epoch: "", offset: 0 };
    if (wasRecovering && position) {
      const { epoch, offset } = position;
      this.#returning = { key: `return ${epoch} ${offset} ${Date.now()}`, epoch, upTo: offset };
      this.#caughtUp({ epoch, offset: this.#seen.epoch === epoch ? this.#seen.offset : 0 });
    }
    if (this.#start.offset === 0) this.#opened();
    else if (!this.#loaded) void this.#lookForHistory();
    void this.#readMembers();
    this.#outbox.wake();
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
    this.#outbox.wake();
  }

  /** A room whose messages have all been dropped has none that would tell that its history was read. */
  async #lookForHistory(): Promise<void> {
    try {
      const { messages } = await this.#channel.history({ limit: 1, reverse: true });
      if (messages.length > 0) return;
      this.#atBeginning = true;
      this.#opened();
    } catch (error) {
      if (!isPassing(error)) this.#home.complain(`The history of ${this.name} could not be read`, describe(error));
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
      if (!isPassing(error)) this.#home.complain("Who is here could not be read", describe(error));
    }
  }

  #memberChanged(change: () => void): void {
    change();
    this.#home.changed(this);
  }

  #message(message: ChannelMessage): void {
    const entry = this.#entry(message);
    if (!entry) return;
    const returning = this.#returning;
    const recovered = returning?.epoch === message.epoch && message.offset <= returning.upTo;
    this.#members.signed(message.info, entry.note.name);
    const known = this.timeline.find(entry.key);
    if (returning && recovered && !known) this.timeline.returned(returning.key, this.#home.away);
    const isNews = this.timeline.arrive({ ...entry, recovered });
    if (this.#loaded && this.#home.current !== this) this.trim();
    const old = this.#start?.epoch === message.epoch && message.offset <= this.#start.offset;
    if (isNews && !entry.own && !old) {
      this.#unread += 1;
      this.#home.flew("in");
    }
    this.#home.changed(this);
  }

  #entry(message: ChannelMessage): MessageEntry | undefined {
    const { data, info, epoch, offset, time } = message;
    const note = readNote(data, info, `${epoch} ${offset}`);
    if (!note) return undefined;
    const own = this.isSelf(note.user);
    return { kind: "message", key: note.id, note, own, recovered: false, state: "sent", failure: "", time, offset, epoch };
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

  async #publish(note: Note): Promise<void> {
    this.#home.flew("out");
    const { time } = await this.#channel.publish(note);
    this.#settle(note.id, time > 0 ? { state: "sent", time } : { state: "sent" });
  }

  #settle(key: string, change: Partial<Pick<MessageEntry, "state" | "failure" | "time">>): void {
    this.timeline.change(key, change);
    this.#home.changed(this);
  }
}

const describe = (error: unknown): string => (error instanceof Error ? error.message : String(error));
