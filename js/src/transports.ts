// Which of several addresses a client begins with. One that is reached over a streamed response is remembered for a
// while, so that the next page does not wait for a WebSocket that does not pass; meanwhile it is seen from time to time
// whether the first address opens again. Decides nothing about a connection that is under way.

import { isStreamed } from "./streamed.js";

/** How long a page may begin with an address that worked. */
const REMEMBERED = 30 * 60_000;
/** Longest wait between looks at the first address. */
const LONGEST = 60 * 60_000;

const key = (first: string): string => `homing:transport:${first}`;

const shelf = (): globalThis.Storage | undefined => {
  try {
    return globalThis.localStorage;
  } catch {
    return undefined;
  }
};

/** The place of the address to begin with. */
export const remembered = (urls: readonly string[]): number => {
  try {
    const [url, until] = JSON.parse(shelf()?.getItem(key(urls[0] ?? "")) ?? "[]") as [string?, number?];
    return until && until > Date.now() ? Math.max(0, urls.indexOf(url ?? "")) : 0;
  } catch {
    return 0;
  }
};

/** What a look needs of the client. */
interface Looker {
  /** Opens a socket of its own, which is closed at once. */
  open(url: string): { onopen: unknown; onclose: unknown; onerror: unknown; close(): void };
  /** The first address opens again. */
  opens(): void;
}

export class Transports {
  readonly #urls: readonly string[];
  readonly #looker: Looker;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Ends the look that is under way. */
  #end: (() => void) | undefined;
  readonly #first: number;
  #wait: number;
  #listens = false;

  /** `wait`: milliseconds before the first look; doubles from look to look. */
  constructor(urls: readonly string[], wait: number, looker: Looker) {
    this.#urls = urls;
    this.#looker = looker;
    this.#first = this.#wait = wait;
  }

  /** A connection to this address was answered. */
  connected(url: string): void {
    this.stop();
    const first = this.#urls[0] ?? "";
    try {
      if (isStreamed(url)) shelf()?.setItem(key(first), JSON.stringify([url, Date.now() + REMEMBERED]));
      else if (this.#urls.length > 1) shelf()?.removeItem(key(first));
    } catch {
      // A full or forbidden shelf: the next page finds out by itself.
    }
    if (isStreamed(url) && !isStreamed(first)) this.#later();
    else this.#wait = this.#first;
  }

  /** Looks no more. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#end?.();
    if (this.#listens) globalThis.removeEventListener?.("online", this.#look);
    this.#listens = false;
  }

  #later(): void {
    // Another network may be one that lets it pass.
    globalThis.addEventListener?.("online", this.#look);
    this.#listens = true;
    this.#timer = setTimeout(this.#look, this.#wait);
    // A program in Node may end while it waits.
    (this.#timer as { unref?: () => void }).unref?.();
    this.#wait = Math.min(this.#wait * 2, LONGEST);
  }

  readonly #look = (): void => {
    this.stop();
    let socket: ReturnType<Looker["open"]>;
    try {
      socket = this.#looker.open(this.#urls[0] ?? "");
    } catch {
      return this.#later();
    }
    const end = (this.#end = (): void => {
      this.#end = undefined;
      clearTimeout(this.#timer);
      socket.onopen = socket.onclose = null;
      socket.close();
    });
    const over = (opened: boolean) => (): void => {
      end();
      if (opened) this.#looker.opens();
      else this.#later();
    };
    this.#timer = setTimeout(over(false), 10_000);
    socket.onopen = over(true);
    socket.onclose = over(false);
    socket.onerror = () => undefined;
  };
}
