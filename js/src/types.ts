// What an app sees: states, events, messages and results, as plain data. Everything here passes JSON.stringify
// and structuredClone, errors apart. Never holds behaviour; every other file reads from here.

import type { RealtimeError } from "./errors.js";

/** A place in a channel's log. Offsets compare only within one epoch. */
export interface Position {
  /** One generation of the channel's data; opaque. Empty where the channel keeps no position. */
  readonly epoch: string;
  /** The last message that was seen; 0: none yet, or the channel keeps no position. */
  readonly offset: number;
}

/** Why something changed. 1 to 9: the app did it; others as in the table of errors and close codes. */
export interface Reason {
  readonly code: number;
  /** For a developer to read. */
  readonly text: string;
}

/** State of the connection: a frozen object, replaced at each change. */
export type ConnectionState =
  | { readonly status: "disconnected"; readonly reason: Reason }
  | {
      readonly status: "connecting";
      readonly reason: Reason;
      /** Failed attempts since the last stable connection. */
      readonly attempt: number;
      /** When the next attempt starts, Unix milliseconds; null: one is under way. */
      readonly retryAt: number | null;
    }
  | ({ readonly status: "connected" } & Session)
  | { readonly status: "closed"; readonly reason: Reason };

/** One connection, as the server named it. */
export interface Session {
  /** Id of the connection. */
  readonly client: string;
  /** Id of the user, where the server tells it; else empty. */
  readonly user: string;
  /** Version of the server. */
  readonly server: string;
  /** From the server's connect handler; null: nothing. */
  readonly data: unknown;
  /** What the server offers beyond the protocol; empty: a plain server. */
  readonly capabilities: readonly string[];
  /** Largest message in bytes that this server takes. */
  readonly maxMessageBytes: number;
  /**
   * How long the server knows a message again that is sent twice, milliseconds. 0: not at all (no capability
   * `producers`): messages arrive at least once, and `outcome_unknown` stands for those that nobody knows of.
   */
  readonly dedupeWindow: number;
}

/** How the connection looks to a person: slower to worry than the state. */
export type Health = "ok" | "degraded" | "lost";

/** What the server keeps of a channel. */
export interface Retention {
  /** Messages at most. */
  readonly size: number;
  /** Seconds. */
  readonly ttl: number;
}

/** State of a channel's subscription: a frozen object, replaced at each change. */
export type SubscriptionState =
  | { readonly status: "unsubscribed"; readonly reason: Reason | null }
  | { readonly status: "subscribing"; readonly reason: Reason }
  | ({ readonly status: "subscribed" } & Subscription);

/** A confirmed subscription. */
export interface Subscription {
  /** Where the channel stood when the server confirmed; null: it keeps no position. */
  readonly position: Position | null;
  /** From the server's subscribe handler; null: nothing. */
  readonly data: unknown;
  /** What the channel keeps, where the server tells it. */
  readonly retention: Retention | null;
}

/** Who a connection is. */
export interface ClientInfo {
  /** User id; empty: anonymous. */
  readonly user: string;
  /** Connection id. */
  readonly client: string;
  /** From the connection's token; null: nothing. */
  readonly connInfo: unknown;
  /** From the subscription's token; null: nothing. */
  readonly chanInfo: unknown;
}

/** One message of a channel. Offsets ascend strictly within an epoch. */
export interface ChannelMessage<M = unknown> {
  readonly type: "message";
  /** Unique for ever, given by its publisher; empty: it gave none. */
  readonly id: string;
  /** Anything but `sent` comes only where it was asked for (`echo`), of this client's own messages. */
  readonly state: MessageState;
  /** Why it has failed. */
  readonly failure?: RealtimeError;
  readonly data: M;
  /** Together with `offset` the message's position; empty where the channel keeps none. */
  readonly epoch: string;
  /** 0: the channel keeps no position. */
  readonly offset: number;
  /** When the server took it, Unix milliseconds; 0: not told. */
  readonly time: number;
  /** Who published, where a client did. */
  readonly info: ClientInfo | null;
  /** Text by key, where the publisher set some. */
  readonly tags: Readonly<Record<string, string>> | null;
  /** With the channel's option `ack: "manual"`: it is processed, and everything before it. */
  ack?(): void;
}

/**
 * pending: in the outbox; sent: in the channel; failed: parked in the outbox until `retry` or `discard`;
 * discarded: taken back by the app.
 */
export type MessageState = "pending" | "sent" | "failed" | "discarded";

/** Why missed messages will not come. */
export type GapReason = "retention" | "epoch_changed" | "rewound" | "history_unavailable" | "lagged";

/** What `reload` is told beside the gap. */
export interface ReloadContext {
  /** Aborted when the handle is left or the client closed. */
  readonly signal: AbortSignal;
}

/** A range of messages that will not come. Stands before anything newer. */
export interface ChannelGap {
  readonly type: "gap";
  /** The first one missed. Offset 0: the channel keeps no positions, some were missed. */
  readonly from: Position;
  /** The last one missed. */
  readonly to: Position;
  readonly reason: GapReason;
  /** With the channel's option `ack: "manual"`: it is processed, and everything before it. */
  ack?(): void;
}

/** What an app may declare of a channel; what is left out is unknown. */
export interface ChannelSchema {
  /** Payload of messages. */
  message?: unknown;
  /** State of a member. */
  presence?: unknown;
  /** Items by key. */
  metadata?: unknown;
}

/** Payload type of a channel's messages. */
export type MessageOf<S extends ChannelSchema> = S extends { message: infer M } ? M : unknown;

/** The server confirmed a subscription. Missed messages follow, then live ones. */
export interface SubscribedEvent extends Subscription {
  readonly type: "subscribed";
  /** Whether an earlier position was continued from. */
  readonly wasRecovering: boolean;
  /** Whether nothing was missed that will not follow. */
  readonly recovered: boolean;
  /** How many messages were missed: they follow, or a gap tells of them. null: that cannot be known. */
  readonly missed: number | null;
}

/** The subscription is wanted, and not confirmed in this session. */
export interface SubscribingEvent {
  readonly type: "subscribing";
  readonly reason: Reason;
}

/** The subscription has ended for good: nothing follows on this handle. */
export interface UnsubscribedEvent {
  readonly type: "unsubscribed";
  readonly reason: Reason;
}

/** Somebody came. */
export interface JoinedEvent {
  readonly type: "joined";
  readonly info: ClientInfo;
}

/** Somebody went. */
export interface LeftEvent {
  readonly type: "left";
  readonly info: ClientInfo;
}

/** The server has lost messages of this client that it had acknowledged; what the outbox holds goes on from there. */
export interface AckedLostEvent {
  readonly type: "acked_lost";
  readonly channel: string;
  readonly count: number;
  /** Where the first of them stood; null: not known any more. */
  readonly from: Position | null;
  /** Where the last of them stood. */
  readonly to: Position | null;
}

/** Events of a channel, by type. */
export interface ChannelEvents<S extends ChannelSchema = ChannelSchema> {
  message: ChannelMessage<MessageOf<S>>;
  gap: ChannelGap;
  subscribing: SubscribingEvent;
  subscribed: SubscribedEvent;
  unsubscribed: UnsubscribedEvent;
  joined: JoinedEvent;
  left: LeftEvent;
  /** Messages of this client's own to this channel: those in the outbox at first, then every change of one. */
  echo: ChannelMessage<MessageOf<S>>;
  /** The server has lost what it had acknowledged. */
  acked_lost: AckedLostEvent;
  /** Every change of `state`. */
  state: SubscriptionState;
  /** Something failed; the client goes on by itself unless `unsubscribed` follows. */
  error: RealtimeError;
}

/** An event of a channel that the server subscribed this connection to, without a handle of the app. */
export interface ServerChannelEvent {
  readonly channel: string;
  readonly event:
    | ChannelMessage
    | ChannelGap
    | SubscribingEvent
    | SubscribedEvent
    | UnsubscribedEvent
    | JoinedEvent
    | LeftEvent;
}

/** A message from the server to this connection. */
export interface ServerMessage {
  readonly data: unknown;
}

/** Events of the client, by type. */
export interface ClientEvents {
  /** Every change of `state`; never twice the same. */
  state: ConnectionState;
  /** Every change of `health`. */
  health: Health;
  /** The server sent a message to this connection. */
  message: ServerMessage;
  /**
   * Something failed that no call waits for; without a listener it goes to the console. `closed_by_server`: the server
   * has ended the connection for good, with its code and reason; `handler_failed`: a handler threw; `storage_failed` and
   * its like: what is stored from here on is in memory only; `restarted`: the client had a defect and was built anew.
   */
  error: RealtimeError;
  /** The server has lost what it had acknowledged. */
  acked_lost: AckedLostEvent;
  /** The client has a defect, for the third time within a minute, and is dead: every call is rejected. Comes at most once. */
  fatal: RealtimeError;
  /** Something happened in a channel that the server subscribed, and no handle has joined. */
  channel: ServerChannelEvent;
}

/** A publish was taken. */
export interface PublishAck extends Position {
  /** When the server took it, Unix milliseconds; 0: not told. */
  readonly time: number;
  /** Whether an earlier sending had brought it there already. */
  readonly duplicate: boolean;
}

/** Where a message is kept until it has settled. */
export interface Stored {
  /** Whether it survives the end of this page or process. */
  readonly durably: boolean;
}

/**
 * A message that was accepted. Settles once: acknowledged, or rejected by `RealtimeError`: the server's refusal or
 * `outbox_expired` (it is parked then), `cancelled`, `outcome_unknown`, `closed`.
 */
export interface Sending extends Promise<PublishAck> {
  /** The message's id; readers of the channel see it too. */
  readonly id: string;
  /**
   * Resolves when it is kept; rejects with what ended it before. Need not be handled. With a durable storage that is when
   * the user is known: at once with the option `user`, else after the first connection.
   */
  readonly stored: Promise<Stored>;
}

/** How to publish. */
export interface PublishOptions extends CallOptions {
  /** Now or never: not kept, not sent twice, and refused without a connection. */
  ephemeral?: boolean | undefined;
}

/** How many are in a channel. */
export interface PresenceStats {
  /** Connections. */
  readonly clients: number;
  /** Different users among them. */
  readonly users: number;
}

/** A page of history to ask for. */
export interface HistoryOptions extends CallOptions {
  /** Messages at most; left out: as many as the server gives in one page; 0: the position only. */
  limit?: number | undefined;
  /** Start behind this position; before it with `reverse`. */
  since?: Position | undefined;
  /** From newer to older. */
  reverse?: boolean | undefined;
}

/** One page of history. */
export interface HistoryPage<M = unknown> {
  /** In the order that was asked for. */
  readonly messages: readonly ChannelMessage<M>[];
  /** Where the channel stands; null: it keeps no position. */
  readonly position: Position | null;
  /** The page before the oldest message of this one, newest first. Empty: there is no older one. */
  older(options?: CallOptions): Promise<HistoryPage<M>>;
  /** The page behind the newest message of this one, oldest first. Empty: there is no newer one yet. */
  newer(options?: CallOptions): Promise<HistoryPage<M>>;
}

/** What every call that waits takes. */
export interface CallOptions {
  /** Aborting rejects the call with the signal's reason. What was sent may still take effect. */
  signal?: AbortSignal | undefined;
}

/** How to iterate over messages. */
export interface MessagesOptions extends CallOptions {
  /** Begins with the newest `last` messages of history and goes on live, without a hole. 0: live only. */
  last?: number | undefined;
  /**
   * Yields this client's own messages from the outbox, too. What comes with the `id` of an earlier one replaces it;
   * the last one is `sent` or `discarded`.
   */
  echo?: boolean | undefined;
  /** Messages that may wait for the loop; what exceeds it is read from history later. 1024. */
  buffer?: number | undefined;
}

/** Gives its own undo: calling it, or disposing of it, removes the listener. */
export type Undo = () => void;

/** Where the module may come from. */
export type LoadSource =
  | { readonly module: WebAssembly.Module }
  | { readonly bytes: BufferSource }
  | { readonly url: string | URL }
  | { readonly response: Response | Promise<Response> };
