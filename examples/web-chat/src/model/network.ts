// The network of this page, with a switch. It stands before whatever socket the client makes: while it is cut, open
// ones are closed as a broken line closes them (1006), and new ones fail. The client is told nothing else.

import type { SocketLike } from "homing";

type Listener = ((event: never) => void) | null;

class Line implements SocketLike {
  onopen: Listener = null;
  onmessage: Listener = null;
  onclose: Listener = null;
  onerror: Listener = null;
  readonly #socket: SocketLike | undefined;
  readonly #ended: (line: Line) => void;
  #over = false;

  constructor(open: (() => SocketLike) | undefined, ended: (line: Line) => void) {
    this.#ended = ended;
    if (!open) {
      queueMicrotask(() => this.break());
      return;
    }
    const socket = open();
    this.#socket = socket;
    socket.onopen = (event: Event) => this.#tell(this.onopen, event);
    socket.onmessage = (event: Event) => this.#tell(this.onmessage, event);
    socket.onerror = (event: Event) => this.#tell(this.onerror, event);
    socket.onclose = (event: Event) => {
      this.#tell(this.onclose, event);
      this.#end();
    };
  }

  send(data: string): void {
    if (!this.#over) this.#socket?.send(data);
  }

  close(code?: number, reason?: string): void {
    this.#socket?.close(code, reason);
  }

  /** What a broken line does: an error, then a close without a goodbye from the other side. */
  break(): void {
    if (this.#over) return;
    this.#tell(this.onerror, new Event("error"));
    this.#tell(this.onclose, new CloseEvent("close", { code: 1006, wasClean: false }));
    this.#end();
    this.#socket?.close();
  }

  #tell(listener: Listener, event: Event): void {
    if (!this.#over) listener?.(event as never);
  }

  #end(): void {
    this.#over = true;
    this.#ended(this);
  }
}

/** Where the page remembers that its line is cut, as long as its tab is open. */
const KEY = "homing-chat-cut";

const recall = (): boolean => {
  try {
    return sessionStorage.getItem(KEY) !== null;
  } catch {
    return false;
  }
};

const remember = (cut: boolean): void => {
  try {
    if (cut) sessionStorage.setItem(KEY, "cut");
    else sessionStorage.removeItem(KEY);
  } catch {
    // Then a reload mends it.
  }
};

export class NetworkSwitch {
  readonly #lines = new Set<Line>();
  readonly #listeners = new Set<() => void>();
  #cut = recall();

  get isCut(): boolean {
    return this.#cut;
  }

  /** The client's option `openSocket`. */
  readonly openSocket = (url: string, make: (url: string) => SocketLike): SocketLike => {
    const line = new Line(this.#cut ? undefined : () => make(url), (ended) => this.#lines.delete(ended));
    this.#lines.add(line);
    return line;
  };

  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  cut(): void {
    if (this.#cut) return;
    this.#cut = true;
    this.#changed();
    for (const line of [...this.#lines]) line.break();
  }

  restore(): void {
    if (!this.#cut) return;
    this.#cut = false;
    this.#changed();
    // A browser whose network comes back says so; the client takes it as a hint to try at once.
    window.dispatchEvent(new Event("online"));
  }

  #changed(): void {
    remember(this.#cut);
    for (const listener of this.#listeners) listener();
  }
}
