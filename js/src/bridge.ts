// The one place that calls into the module. Owns the queue of commands made before the module runs, the guard
// that turns a trap into the death of the module's client, and the queue through which events leave. Knows no channels.

import { RealtimeError } from "./errors.js";
import type { Glue } from "./loader.js";
import type { WireEvent } from "./wire.js";

/** The module's client. */
export type Host = InstanceType<Glue["Host"]>;

/** Something to do with the module's client; it must not run code of the app. */
export type Command = (host: Host) => void;

interface Waiting {
  readonly command: Command;
  readonly failed: (error: RealtimeError) => void;
}

/** What the bridge asks of its owner. */
export interface BridgeOwner {
  load(): Promise<Glue>;
  /** The module, if it runs already: commands are carried out at once. */
  loaded(): Glue | undefined;
  make(glue: Glue, emit: (event: string) => void): Host;
  dispatch(event: WireEvent): void;
  /** The module could not be loaded; the commands that waited have failed. */
  loadFailed(error: RealtimeError): void;
  /**
   * A call into the module trapped; nothing enters that instance again. Commands are kept for the next one, unless
   * it was the last: then it is over.
   */
  died(error: RealtimeError, glue: Glue, last: boolean): void;
}

/** So many deaths within so many milliseconds are the last. */
const DEATHS = 3;
const SPAN = 60_000;

export class Bridge {
  readonly #owner: BridgeOwner;
  #glue: Glue | undefined;
  #host: Host | undefined;
  #waiting: Waiting[] = [];
  #loading = false;
  #over: RealtimeError | undefined;
  #events: WireEvent[] = [];
  #delivering = false;
  #deaths: { at: number; error: RealtimeError }[] = [];

  constructor(owner: BridgeOwner) {
    this.#owner = owner;
  }

  /** The module's client while it may be called. */
  get host(): Host | undefined {
    return this.#over ? undefined : this.#host;
  }

  /** Whether events are on their way to the app. */
  get delivering(): boolean {
    return this.#delivering;
  }

  /** Runs a command now, or once the module runs; `failed` if that never happens. */
  run(command: Command, failed: (error: RealtimeError) => void = () => undefined): void {
    if (this.#over) {
      failed(this.#over);
      return;
    }
    if (this.#host) {
      const host = this.#host;
      const ran = this.guard(() => {
        command(host);
        host.drain();
        return true;
      });
      if (!ran) failed(this.#death());
      return;
    }
    this.#waiting.push({ command, failed });
    const glue = this.#owner.loaded();
    if (glue && !this.#loading) this.#start(glue);
    else this.#load();
  }

  /** Calls into the module; a trap is the death of its client. */
  guard<T>(call: () => T): T | undefined {
    const host = this.#host;
    try {
      return call();
    } catch (cause) {
      this.#die(host, cause);
      return undefined;
    }
  }

  /** Messages are about to be handed to the app: events that come meanwhile wait until `delivered`. */
  deliver(): void {
    this.#delivering = true;
  }

  /** The messages were handed over, by code that never throws. */
  delivered(): void {
    this.#delivering = false;
    if (this.#events.length > 0) this.#flush();
  }

  /** Ends everything; later commands fail with `error`. Frees the module's client when no call is under way. */
  end(error: RealtimeError): void {
    if (this.#over) return;
    this.#over = error;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { failed } of waiting) failed(error);
    const host = this.#host;
    this.#host = undefined;
    // A microtask runs when the stack is empty, so no method of the object is under way.
    if (host) queueMicrotask(() => host.free());
  }

  #load(): void {
    if (this.#loading) return;
    this.#loading = true;
    this.#owner.load().then(
      (glue) => {
        this.#loading = false;
        if (!this.#over) this.#start(glue);
      },
      (cause: unknown) => {
        this.#loading = false;
        if (this.#over) return;
        const error =
          cause instanceof RealtimeError ? cause : RealtimeError.of("load_failed", String(cause), cause);
        const waiting = this.#waiting;
        this.#waiting = [];
        for (const { failed } of waiting) failed(error);
        this.#owner.loadFailed(error);
      },
    );
  }

  #start(glue: Glue): void {
    this.#glue = glue;
    const waiting = this.#waiting;
    this.#waiting = [];
    let host: Host | undefined;
    try {
      const made = (host = this.#owner.make(glue, (event) => this.#emit(made, event)));
      this.#host = host;
      for (const { command } of waiting) command(host);
      host.drain();
    } catch (cause) {
      this.#die(host, cause);
      for (const { failed } of waiting) failed(this.#death());
    }
  }

  /** Called by the module, which holds no borrow here. Never throws. */
  #emit(host: Host, event: string): void {
    if (this.#over || this.#host !== host) return;
    // A callback of the browser has trapped: what is on the stack comes to its end first.
    if (event === "") {
      queueMicrotask(() => this.#die(host, "a callback trapped"));
      return;
    }
    this.#events.push(JSON.parse(event) as WireEvent);
    this.#flush();
  }

  #death(): RealtimeError {
    return this.#deaths.at(-1)?.error as RealtimeError;
  }

  #flush(): void {
    if (this.#delivering) return;
    this.#delivering = true;
    try {
      for (let event = this.#events.shift(); event; event = this.#events.shift()) {
        this.#owner.dispatch(event);
      }
    } finally {
      this.#delivering = false;
    }
  }

  #die(host: Host | undefined, cause: unknown): void {
    const glue = this.#glue;
    if (this.#over || !glue || this.#host !== host) return;
    let text = "";
    try {
      text = glue.panicText();
      host?.abandon();
    } catch {
      // The instance is beyond answering; the trap's own words have to do.
    }
    const now = Date.now();
    const recent = this.#deaths.filter(({ at }) => now - at < SPAN);
    const last = recent.length + 1 >= DEATHS;
    const error = RealtimeError.of(last ? "panicked" : "restarted", text || String(cause), cause);
    this.#deaths = [...recent, { at: now, error }];
    // The host is not freed: a borrow of the call that trapped may still stand.
    this.#host = this.#glue = undefined;
    const events = this.#events;
    this.#events = [];
    // What came to its end has come to it; messages are read again.
    for (const event of events) if (event.e === "settled") this.#owner.dispatch(event);
    if (last) this.end(error);
    this.#owner.died(error, glue, last);
  }
}
