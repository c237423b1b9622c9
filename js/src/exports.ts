// What both entries give beside the client.

export { Channel, type Presence } from "./channel.js";
export { type CloseOptions } from "./client.js";
export { Outbox, OutboxEntry, type OutboxChange, type OutboxSize } from "./outbox.js";
export { ForbiddenError, RealtimeError, type ErrorLimit, type ErrorName, type ErrorParts } from "./errors.js";
export {
  type ChannelOptions,
  type ChannelTokenContext,
  type ClientOptions,
  type Endpoints,
  type SocketLike,
  type TokenContext,
} from "./options.js";
export type { Storage, StorageOp, StorageRecord, StorageScope } from "./storage.js";
export type * from "./types.js";
