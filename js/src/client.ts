// The client: the app's commands, its state, and the hand-over of what the module says. Owns the socket's maker,
// the token providers' questions and the end; the decisions are the module's. The entries derive from it.

import { Bridge, type Host } from "./bridge.js";
import { Calls, refusal } from "./calls.js";
import { Channel } from "./channel.js";
import { asyncDispose } from "./dispose.js";
import { Emitter } from "./emitter.js";
import { RealtimeError } from "./errors.js";
import { Frames } from "./frames.js";
import { compile, load, loaded, retire, type Glue } from "./loader.js";
import {
  checkChannelName,
  flatten,
  json,
  type ChannelOptions,
  type ClientOptions,
  type Endpoints,
  type FlatOptions,
  type SocketLike,
} from "./options.js";
import { Outbox } from "./outbox.js";
import { Providers } from "./providers.js";
import { DURABLE, Registry, type JoinOptions } from "./registry.js";
import type { CallOptions, ChannelSchema, ClientEvents, ConnectionState, Health, LoadSource, Undo } from "./types.js";
import { IndexedDb } from "./storage/indexeddb.js";
import { StorageOrders } from "./storage/orders.js";
import { isStreamed, StreamedSocket } from "./streamed.js";
import { remembered, Transports } from "./transports.js";
import { CLOSE, CONNECT, DISCONNECT, PREFER, RPC, SEND, SOCKET_FAILED } from "./verbs.generated.js";
import { toError, type WireConnection, type WireEvent } from "./wire.js";

/** How to close. */
export interface CloseOptions {
  /** How long calls under way may still settle, in milliseconds. 0: they are rejected at once. */
  flush?: number | undefined;
  /**
   * Erases what the storage has of this user, whoever of their tabs it belongs to: messages that were not sent, positions,
   * everything. Where the server has not named the user yet, the option `user` is needed.
   */
  forget?: boolean | undefined;
}

const frozen = <T extends object>(value: T): Readonly<T> => Object.freeze(value);

/** Clients that are meant to be connected: nothing else may refer to one that only listens. */
const roots = new Set<object>();

export class BaseClient {
  /** Every message that was published and has not settled. */
  readonly outbox: Outbox;
  readonly #options: ClientOptions;
  readonly #bridge: Bridge;
  readonly #calls: Calls;
  readonly #registry: Registry;
  readonly #frames: Frames;
  readonly #providers: Providers;
  readonly #storage: StorageOrders | undefined;
  readonly #urls: readonly string[];
  readonly #transports: Transports;
  /** Where the socket at hand leads. */
  #url = "";
  readonly #emitter = new Emitter<ClientEvents>((cause, type) => this.#handlerFailed(cause, type));
  #state: ConnectionState = frozen({ status: "disconnected", reason: frozen({ code: 0, text: "not connected yet" }) });
  #health: Health = "ok";
  #protocolErrors = 0;
  #socket: SocketLike | undefined;
  #wanted = false;
  #over: RealtimeError | undefined;
  #closing: Promise<void> | undefined;
  #closed: ((over: Promise<void> | undefined) => void) | undefined;
  #quiet: Promise<void> | undefined;
  #forgets = false;

  /** Opens nothing and loads nothing: `connect` and the first call do. Throws `invalid_option`. */
  constructor(endpoints: Endpoints, options: ClientOptions = {}) {
    this.#options = { ...options };
    const flat = flatten(endpoints, options);
    this.#bridge = new Bridge({
      loaded,
      load: () => load(() => this.compile(options.module)),
      make: (glue, emit) => this.#make(glue, flat, emit),
      dispatch: (event) => this.#dispatch(event),
      loadFailed: (error) => this.#loadFailed(error),
      died: (error, glue, last) => {
        retire(glue);
        this.#died(error, last);
      },
    });
    const { storage = "memory", maxMessageBytes = 65_536, maxOutbox = 1024, maxOutboxBytes = 8_388_608 } = options;
    const keeps = storage !== "memory";
    this.#calls = new Calls(this.#bridge, { message: maxMessageBytes, count: maxOutbox, total: maxOutboxBytes, keeps });
    this.outbox = new Outbox({ bridge: this.#bridge, calls: this.#calls }, (cause, type) => this.#handlerFailed(cause, type));
    this.#registry = new Registry(this.#bridge, (event) => this.#emitter.emit("channel", event));
    this.#frames = new Frames(this.#bridge, this.#registry);
    this.#urls = typeof endpoints === "function" ? [] : [endpoints].flat();
    this.#transports = new Transports(this.#urls, options.upgradeAfter ?? 60_000, {
      open: (url) => this.#socketTo(url),
      opens: () => this.#calls.whenQuiet(() => this.#bridge.run((host) => host.tell(PREFER, "", "", 0, 0))),
    });
    this.#providers = new Providers(this.#bridge, endpoints, options.getToken);
    if (storage !== "memory") {
      this.#storage = new StorageOrders(this.#bridge, storage === "durable" ? new IndexedDb() : storage, () => this.#calls.opened());
    }
  }

  /** @internal Where the module comes from; the default entry carries its own. */
  protected compile(source: LoadSource | undefined): Promise<WebAssembly.Module> {
    if (source) return compile(source);
    return Promise.reject(
      RealtimeError.of("load_failed", "homing/slim carries no module; call init({ url }) or pass the option module"),
    );
  }

  /** The connection as it stands: a frozen object, replaced at each change. */
  get state(): ConnectionState {
    return this.#state;
  }

  /** How the connection looks to a person. */
  get health(): Health {
    return this.#health;
  }

  /** How often the server has sent what the protocol does not allow; each time the connection was made anew. */
  get protocolErrors(): number {
    return this.#protocolErrors;
  }

  /** Wants to be connected, until `disconnect` or `close`. Harmless if it is wanted already. */
  connect(): void {
    this.#ensureUsable();
    if (!this.#options.openSocket && !this.#options.WebSocket && typeof WebSocket !== "function") {
      throw RealtimeError.of("unsupported", "there is no WebSocket here; pass one, such as that of the package ws");
    }
    roots.add(this);
    this.#wanted = true;
    // Once the module runs it says so itself, and in the order in which a handler may change its mind.
    if (!this.#bridge.host && this.#state.status === "disconnected") {
      const reason = frozen({ code: 1, text: "connect called" });
      this.#change({ status: "connecting", reason, attempt: 0, retryAt: null });
    }
    this.#connect();
  }

  #connect(): void {
    this.#bridge.run((host) => {
      // The app may have changed its mind while the module was loading.
      if (this.#wanted && this.#urls.length > 1) host.tell(PREFER, "", "", remembered(this.#urls), 0);
      if (this.#wanted && host.tell(CONNECT, "", "", 0, 0) < 0) this.#report(refusal(host));
    });
  }

  /** Wants to be disconnected. Channels stay wanted; calls that wait to be sent are rejected. */
  disconnect(): void {
    if (this.#over) return;
    this.#wanted = false;
    if (!this.#bridge.host && this.#state.status === "connecting") this.#rest(2, "disconnect called");
    this.#bridge.run((host) => host.tell(DISCONNECT, "", "", 0, 0));
  }

  /**
   * Ends the client for good and frees everything. Resolves when it is closed. Rejects only with `forget`, as
   * `not_erased`: the client is closed, and what is stored may still be there.
   */
  close({ flush = 0, forget = false }: CloseOptions = {}): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      this.#closed = resolve;
      this.#forgets = forget && this.#storage !== undefined;
      if (this.#over) resolve(this.#forgets ? this.#storage?.close(true) : undefined);
      else if (!this.#bridge.host && !this.#forgets) this.#end(RealtimeError.of("closed"));
      else {
        this.#registry.flush();
        // The storage is the module's to open: where it does not run yet it is waited for.
        this.#bridge.run((host) => host.tell(CLOSE, "", "", flush, forget ? 1 : 0), (error) => this.#end(error));
      }
    });
    return forget ? this.#closing : (this.#quiet ??= this.#closing.catch(() => undefined));
  }

  /** The same as `close()`. */
  [asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Listens to the client. Never connects. */
  on<T extends keyof ClientEvents>(type: T, listener: (event: ClientEvents[T]) => unknown): Undo {
    return this.#emitter.on(type, listener);
  }

  /**
   * A handle of a channel; the handles of one channel share one subscription and must have the same options.
   * Subscribes nothing by itself: the handle's `on` and `messages` do. Throws `invalid_channel`.
   */
  channel<S extends ChannelSchema = ChannelSchema>(name: string, options: ChannelOptions = {}): Channel<S> {
    checkChannelName(name);
    const { token = "", data, since, getToken } = options;
    if (token.includes("\n")) throw RealtimeError.of("invalid_option", "a token has no line breaks");
    const join: JoinOptions = {
      token,
      data: data === undefined ? "" : json(data, "data"),
      flags:
        (getToken ? 1 : 0) |
        (options.positioned ? 2 : 0) |
        (options.recoverable ? 4 : 0) |
        (options.joinLeave ? 8 : 0) |
        (options.recovery === "cache" ? 16 : 0) |
        (options.durable ? DURABLE : 0),
      manual: options.ack === "manual",
      reload: options.reload,
      epoch: since?.epoch,
      offset: since?.offset ?? 0,
      provider: getToken,
    };
    return new Channel<S>(
      name,
      {
        calls: this.#calls,
        registry: this.#registry,
        outbox: this.outbox,
        client: () => (this.#state.status === "connected" ? this.#state.client : ""),
        failed: (cause, type) => this.#handlerFailed(cause, type),
        ensureUsable: () => this.#ensureUsable(),
      },
      join,
    );
  }

  /** Calls a procedure of the server. */
  async rpc<R = unknown>(method: string, data: unknown = null, options?: CallOptions): Promise<R> {
    const text = json(data);
    return await this.#calls.make((host) => host.tell(RPC, method, text, 0, 0), ({ data }: { data: R }) => data, options?.signal);
  }

  /** Sends a message that the server does not answer; resolves when it was handed to the socket. */
  async send(data: unknown, options?: CallOptions): Promise<void> {
    const text = json(data);
    await this.#calls.make((host) => host.tell(SEND, "", text, 0, 0), () => undefined, options?.signal);
  }

  #make(glue: Glue, flat: FlatOptions, emit: (event: string) => void): Host {
    const entropy = crypto.getRandomValues(new Uint8Array(32));
    const seed = Array.from(entropy, (byte) => byte.toString(16).padStart(2, "0")).join("");
    const host = new glue.Host(JSON.stringify([seed, ...flat]), (url, conn) => this.#open(url, conn), emit, globalThis.document);
    this.outbox.begun(host);
    return host;
  }

  /** Called by the module, which holds no borrow; it owns the socket from here on, frames apart. */
  #open(url: string, conn: number): SocketLike {
    const socket = this.#socketTo(url);
    this.#url = url;
    socket.onmessage = (event: { data: unknown }) => this.#frames.receive(conn, String(event.data));
    // Stays for good: some implementations throw an error that nobody listens to.
    socket.onerror = (event: { message?: unknown }) => {
      const { message } = event;
      if (typeof message === "string" && this.#socket === socket) this.#bridge.guard(() => this.#bridge.host?.tell(SOCKET_FAILED, message, "", conn, 0));
    };
    this.#socket = socket;
    return socket;
  }

  #socketTo(url: string): SocketLike {
    const { openSocket, WebSocket: Given = globalThis.WebSocket, EventSource } = this.#options;
    const make = (url: string): SocketLike => (isStreamed(url) ? new StreamedSocket(url, EventSource) : new Given(url));
    try {
      return openSocket ? openSocket(url, make) : make(url);
    } catch (thrown) {
      throw thrown instanceof Error ? thrown : new Error(String(thrown));
    }
  }

  #dispatch(event: WireEvent): void {
    switch (event.e) {
      case "connection":
        this.#connection(event.state);
        break;
      case "health":
        this.#health = event.health;
        this.#emitter.emit("health", event.health);
        break;
      case "message":
        this.#emitter.emit("message", { data: event.data });
        break;
      case "error": {
        const error = toError(event.error);
        if (error.name === "protocol") this.#protocolErrors += 1;
        if (error.name === "storage_failed" || error.name === "storage_from_future") this.#storage?.failed();
        this.#report(error);
        break;
      }
      case "storage_open":
      case "storage_write":
      case "storage_erase":
        this.#storage?.carryOut(event);
        break;
      case "channel":
        this.#registry.dispatch(event.key, event.event);
        break;
      case "server_subscribed":
        this.#registry.serverSubscribed(event.key, event.name);
        break;
      case "server_unsubscribed":
        this.#registry.serverUnsubscribed(event.key);
        break;
      case "settled":
        if ("error" in event) this.#calls.failed(event.id, toError(event.error));
        else this.#calls.settled(event.id, event.ok);
        break;
      case "accepted":
        this.#calls.stored(event.id, event.durably);
        break;
      case "outbox":
        this.#calls.heard(event);
        this.outbox.heard(event);
        break;
      case "acked_lost": {
        const { channel, count, from, to } = event;
        const lost = { type: "acked_lost", channel, count, from, to } as const;
        this.#registry.tell(channel, lost);
        this.#emitter.emit("acked_lost", lost);
        break;
      }
      case "token":
        this.#providers.token(event.id, event.channel, event.channel === null ? undefined : this.#registry.named(event.channel));
        break;
      case "resolve":
        this.#providers.resolve(event.id);
        break;
    }
  }

  #connection(state: WireConnection): void {
    switch (state.status) {
      case "closed":
        this.#end(RealtimeError.of("closed"));
        return;
      case "connected": {
        const { client, user, server, data, capabilities, max, window } = state;
        this.#transports.connected(this.#url);
        this.#change({ status: "connected", client, user, server, data, capabilities, maxMessageBytes: max, dedupeWindow: window });
        return;
      }
      case "connecting": {
        const { reason, attempt, wait } = state;
        this.#transports.stop();
        const known = this.#state;
        // The first one was said when connect() was called.
        if (known.status === "connecting" && reason.code === 1 && known.reason.code === 1) return;
        this.#change({ status: "connecting", reason, attempt, retryAt: wait === null ? null : Date.now() + wait });
        return;
      }
      case "disconnected": {
        const { code, text } = state.reason;
        // Given up by the server or a provider: nothing to take up again.
        if (code !== 2) this.#wanted = false;
        this.#rest(code, text);
        // The server's word, which nobody else has told.
        if (code > 99 && !this.#over) this.#report(new RealtimeError("closed_by_server", { code, detail: text }));
      }
    }
  }

  #change(state: ConnectionState): void {
    this.#state = frozen(state);
    this.#calls.online = state.status === "connected";
    this.#emitter.emit("state", this.#state);
  }

  #rest(code: number, text: string): void {
    roots.delete(this);
    this.#providers.stop();
    this.#transports.stop();
    this.#change({ status: "disconnected", reason: frozen({ code, text }) });
  }

  #loadFailed(error: RealtimeError): void {
    if (this.#state.status === "connecting") this.#rest(error.code, error.message);
    this.#report(error);
  }

  /** The module's client is lost; another one takes up what was wanted, unless this death was the last. */
  #died(error: RealtimeError, last: boolean): void {
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      try {
        socket.close();
      } catch {
        // It was never open.
      }
    }
    this.#calls.lost(error, this.#storage?.taken === true);
    if (last) {
      this.#end(error, () => this.#emitter.emit("fatal", error));
      return;
    }
    if (this.#closing) {
      this.#end(RealtimeError.of("closed"));
      return;
    }
    this.#providers.stop();
    if (this.#health !== "ok") {
      this.#health = "ok";
      this.#emitter.emit("health", "ok");
    }
    if (this.#wanted) {
      const reason = frozen({ code: error.code, text: error.message });
      this.#change({ status: "connecting", reason, attempt: 0, retryAt: null });
    }
    this.#report(error);
    if (this.#wanted) this.#connect();
    this.#registry.restart(error);
  }

  /** The end, by close or by a defect: everything pending is rejected and nothing follows. */
  #end(error: RealtimeError, tell: () => void = () => undefined): void {
    if (this.#over) return;
    this.#over = error;
    roots.delete(this);
    this.#socket = undefined;
    this.#providers.stop();
    this.#transports.stop();
    this.#calls.end(error);
    this.outbox.end();
    this.#bridge.end(error);
    this.#registry.end(error);
    this.#change({ status: "closed", reason: frozen({ code: error.code, text: error.message }) });
    tell();
    this.#emitter.clear();
    const over = this.#storage?.close(this.#forgets);
    this.#closed?.(over);
  }

  #ensureUsable(): void {
    if (this.#over) throw this.#over;
  }

  #handlerFailed(cause: unknown, type: string): void {
    // One whose error handler throws is not told so by that handler.
    if (type === "error") console.error(cause);
    else this.#report(RealtimeError.of("handler_failed", `of ${type}`, cause));
  }

  #report(error: RealtimeError): void {
    if (this.#emitter.has("error")) this.#emitter.emit("error", error);
    else console.error(error);
  }
}
