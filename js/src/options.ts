// What an app can set: the public options, and their check and translation for the module. Never keeps state.

import { RealtimeError } from "./errors.js";
import { numbers } from "./options.generated.js";
import type { EventSourceClass } from "./streamed.js";
import type { Storage } from "./storage.js";
import type { ChannelGap, LoadSource, Position, ReloadContext } from "./types.js";

/** The part of a WebSocket that the client uses; the browser's, Node's and that of `ws` fit. */
export interface SocketLike {
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: string): void;
  close(code?: number, reason?: string): void;
}

/** What a token provider is told. */
export interface TokenContext {
  /** Aborted when the answer no longer matters. */
  readonly signal: AbortSignal;
}

/** What a channel's token provider is told. */
export interface ChannelTokenContext extends TokenContext {
  readonly channel: string;
}

/**
 * One address, several in order of preference, or a function that is asked before every attempt. The next one is tried
 * after one has failed to open, or three times in a row to last. An address that begins with `http` leads around networks
 * where WebSocket does not pass: server-sent events where its path ends in `/sse`, else a streamed response; whenever such
 * a one is used it is seen from time to time, and when the network changes, whether the first address opens again.
 */
export type Endpoints =
  | string
  | readonly string[]
  | ((context: TokenContext) => string | readonly string[] | Promise<string | readonly string[]>);

/** Options of a client. All durations are milliseconds. */
export interface ClientOptions {
  /** A token that the app has already; used until the server calls it expired. */
  token?: string | undefined;
  /**
   * Asked for a token before every attempt and before expiry. An empty one means anonymous. Throw a
   * `ForbiddenError` when the user is not allowed: the client stops; after anything else it asks again.
   */
  getToken?: ((context: TokenContext) => string | Promise<string>) | undefined;
  /** For the server's connect handler. */
  data?: unknown;
  /** Name of the client for the server's logs. "homing-js". */
  name?: string | undefined;
  /** Version of the app for the server's logs. */
  version?: string | undefined;
  /**
   * Where the outbox and the positions of durable channels are kept. "memory": as long as the page lives. "durable": in
   * IndexedDB, across reloads and crashes; where that is denied, and without Web Locks (http pages), memory with an
   * `error` event `storage_failed`. Or a storage of the app's own. "memory".
   */
  storage?: "memory" | "durable" | Storage | undefined;
  /**
   * Id of the user whose data the storage keeps. Needed on servers that do not name the user; elsewhere it lets
   * messages be stored before the first connection. The server's word counts.
   */
  user?: string | undefined;
  /** Name of the server in the storage. The first endpoint; needed where endpoints are a function. */
  storageName?: string | undefined;
  /** How long the storage may take to open or to write. 5,000. */
  storageTimeout?: number | undefined;
  /** The socket's class, where the environment has none: `ws` in Node 20. */
  WebSocket?: (new (url: string) => SocketLike) | undefined;
  /**
   * How long after connecting over HTTP it is seen whether the first address, a WebSocket's, opens; then the client moves
   * there. Doubles from look to look, up to an hour. 60,000.
   */
  upgradeAfter?: number | undefined;
  /** The class for addresses of server-sent events, where the environment has none. */
  EventSource?: EventSourceClass | undefined;
  /** Makes the socket of every connection; `make` is what would make it otherwise. */
  openSocket?: ((url: string, make: (url: string) => SocketLike) => SocketLike) | undefined;
  /** Where the WebAssembly module comes from, in place of the entry's own. See `init`. */
  module?: LoadSource | undefined;
  /** From asking for a socket to the server's answer to connect. 10,000. */
  connectTimeout?: number | undefined;
  /** From a call to its answer, waiting for a connection included. 10,000. */
  requestTimeout?: number | undefined;
  /** How long `getToken` or a function of endpoints may take. 20,000. */
  providerTimeout?: number | undefined;
  /** Silence beyond the server's ping interval that ends a connection. 10,000. */
  silenceSlack?: number | undefined;
  /** How long a probe waits for any sign of life. 3,000. */
  probeTimeout?: number | undefined;
  /** Least wait before an attempt to reconnect. 100. */
  backoffFloor?: number | undefined;
  /** Width of the first random wait; doubles with every failure. 500. */
  backoffBase?: number | undefined;
  /** Widest random wait. 20,000. */
  backoffCap?: number | undefined;
  /** Least wait before an attempt to reconnect while the page is hidden; when it is seen again, the attempt starts at
   * once. 0, which is the default, makes no difference. */
  hiddenWait?: number | undefined;
  /** How long a connection must last before failures are forgotten. 10,000. */
  stableAfter?: number | undefined;
  /** How long a channel that its last handle left stays subscribed, in case it is joined again. 100. */
  linger?: number | undefined;
  /** How long the connection must be away before health is degraded. 5,000. */
  degradedAfter?: number | undefined;
  /** How long the connection must be away before health is lost. 30,000. */
  lostAfter?: number | undefined;
  /** Calls that may wait for an answer or for a connection. 1,024. */
  maxRequests?: number | undefined;
  /** Bytes of payload that may wait for an answer or for a connection. 8 MiB. */
  maxRequestBytes?: number | undefined;
  /** Largest payload in bytes; the server's own limit counts where it is told. 65,536. */
  maxMessageBytes?: number | undefined;
  /** Messages that the outbox holds at most, parked ones included. 1,024. */
  maxOutbox?: number | undefined;
  /** Bytes of payload that the outbox holds at most. 8 MiB. */
  maxOutboxBytes?: number | undefined;
  /** How long a message may wait without ever being sent; then it is parked as `outbox_expired`. 7 days. */
  outboxAge?: number | undefined;
  /**
   * On a server that cannot tell duplicates: sends a message again whose outcome is unknown, at the risk that it
   * arrives twice. Otherwise it is parked as `outcome_unknown`.
   */
  resend?: boolean | undefined;
  /** Live messages held back per channel while its history is read. 1,024. */
  maxHeld?: number | undefined;
  /** Messages asked for in one page of history while catching up. 200. */
  repairPage?: number | undefined;
}

/** Options of a channel. All handles of a channel must have the same. */
export interface ChannelOptions {
  /** A subscription token that the app has already. */
  token?: string | undefined;
  /** Asked for a subscription token. Throw a `ForbiddenError` when the user is not allowed. */
  getToken?: ((context: ChannelTokenContext) => string | Promise<string>) | undefined;
  /** For the server's subscribe handler. */
  data?: unknown;
  /** Asks the server to check the position. */
  positioned?: boolean | undefined;
  /** Asks the server for recovery, where the namespace leaves it to the client. */
  recoverable?: boolean | undefined;
  /** Asks for `joined` and `left`, where the namespace leaves it to the client. */
  joinLeave?: boolean | undefined;
  /** What recovery brings: everything that was missed, or the newest message only. "stream". */
  recovery?: "stream" | "cache" | undefined;
  /**
   * Continues after a reload of the page from the last message that the app has processed (with the client's option
   * `storage`): up to which all promises of `message` listeners have settled, and all loops have asked for the next.
   */
  durable?: boolean | undefined;
  /** Who says what is processed: the end of listeners and loops, or the app by `ack`. "auto". */
  ack?: "auto" | "manual" | undefined;
  /**
   * Closes a gap with the app's own data. The position stands behind the gap already, and messages wait until it has
   * finished; after a failure, which is told as `handler_failed`, it is called again.
   */
  reload?: ((gap: ChannelGap, context: ReloadContext) => unknown) | undefined;
  /** A position to continue from, kept by the app from an earlier run. */
  since?: Position | undefined;
}

const texts = ["token", "name", "version", "storageName", "user"] as const;
const others = ["getToken", "data", "WebSocket", "EventSource", "openSocket", "upgradeAfter", "module", "storage", "resend"];

/** The client's options as the module reads them, behind the seed: texts in an order, an empty one is not set. */
export type FlatOptions = readonly string[];

const invalid = (what: string): RealtimeError => RealtimeError.of("invalid_option", what);

/** Checks and flattens; throws `invalid_option` that names the key. */
export const flatten = (endpoints: Endpoints, options: ClientOptions): FlatOptions => {
  for (const key of Object.keys(options)) {
    const known: readonly string[] = [...numbers, ...texts, ...others];
    if (!known.includes(key)) throw invalid(`there is no option ${key}`);
  }
  const resolves = typeof endpoints === "function";
  const { storage = "memory" } = options;
  const durable = storage !== "memory";
  if (durable && storage !== "durable" && typeof (storage as Partial<Storage> | null)?.open !== "function") {
    throw invalid('storage must be "memory", "durable" or a Storage');
  }
  if (durable && resolves && !options.storageName) throw invalid("storageName is needed where endpoints are a function");
  return [
    resolves ? "" : checkEndpoints(endpoints).join("\n"),
    resolves ? "1" : "",
    checkText(options, "token"),
    options.getToken ? "1" : "",
    options.data === undefined ? "" : json(options.data, "data"),
    checkText(options, "name") || "homing-js",
    checkText(options, "version"),
    durable ? "1" : "",
    checkText(options, "storageName"),
    checkText(options, "user"),
    options.resend ? "1" : "",
    ...numbers.map((key) => checkNumber(options, key)),
  ];
};

const checkEndpoints = (endpoints: string | readonly string[]): readonly string[] => {
  const list = typeof endpoints === "string" ? [endpoints] : endpoints;
  if (list.length === 0) throw invalid("at least one url is needed");
  for (const url of list as readonly unknown[]) {
    if (typeof url !== "string" || !/^(wss?|https?):\/\/\S+$/i.test(url)) {
      throw invalid(`a url must begin with wss://, ws://, https:// or http://, not ${String(url)}`);
    }
  }
  return list;
};

const checkText = (options: ClientOptions, key: (typeof texts)[number]): string => {
  const value: unknown = options[key];
  if (value === undefined) return "";
  if (typeof value !== "string") throw invalid(`${key} must be text`);
  return value;
};

const checkNumber = (options: ClientOptions, key: (typeof numbers)[number]): string => {
  const value = options[key];
  if (value === undefined) return "";
  if (!Number.isInteger(value) || value < 0 || value > 0x7fffffff) {
    throw invalid(`${key} must be a whole number from 0 to 2147483647, not ${String(value)}`);
  }
  return String(value);
};

/** JSON text of a value, or `invalid_payload`: getters and toJSON of the value run here, nowhere later. */
export const json = (value: unknown, what = "payload"): string => {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    throw RealtimeError.of("invalid_payload", what, cause);
  }
  if (text === undefined) throw RealtimeError.of("invalid_payload", `${what} is ${typeof value}`);
  return text;
};

/** Refuses a name that no server takes. */
export const checkChannelName = (name: string): void => {
  if (typeof name !== "string" || !/^[\x20-\x7e]{1,255}$/.test(name)) {
    throw RealtimeError.of("invalid_channel", JSON.stringify(name));
  }
};
