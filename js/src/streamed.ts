// Sockets for networks where WebSocket does not pass: what comes from the server is one streamed response (lines over
// fetch, or server-sent events), what goes to it travels in requests of their own, one at a time and in order. To the
// module they are sockets like any other. Owns nothing but one connection's life.

import type { SocketLike } from "./options.js";

/** What makes an EventSource. */
export type EventSourceClass = new (url: string) => EventSource;

/** Characters of commands that go in one request, unless a single command is longer. */
const PIECE = 64 * 1024;
/** Characters of a line that has not ended; a longer one is no server of ours. */
const LINE = 16 * 1024 * 1024;

/** Whether an address is one of a streamed response. */
export const isStreamed = (url: string): boolean => /^https?:/i.test(url);

/** Where commands go that belong to the response of `url`: beside the folder `connection`. */
const besides = (url: string): string => {
  const address = new URL(url);
  address.pathname = address.pathname.replace(/(\/[^/]+){1,2}\/?$/, "/emulation");
  address.search = "";
  return address.href;
};

export class StreamedSocket implements SocketLike {
  onopen: ((event: never) => void) | null = null;
  onmessage: ((event: never) => void) | null = null;
  onclose: ((event: never) => void) | null = null;
  onerror: ((event: never) => void) | null = null;
  readonly #url: string;
  readonly #events: EventSourceClass | undefined;
  readonly #abort = new AbortController();
  #begun = false;
  #over = false;
  #session: { session: string; node: string } | undefined;
  #queue: string[] = [];
  #sending = false;

  /** Server-sent events where the path ends in `/sse`. Throws where there are none. */
  constructor(url: string, Events = (globalThis as { EventSource?: EventSourceClass }).EventSource) {
    this.#url = url;
    if (/\/sse\/?$/.test(new URL(url).pathname)) {
      if (!Events) throw new Error("there is no EventSource here; pass one, or an address of http_stream");
      this.#events = Events;
    }
    // The request leaves with the first commands; whether it gets through shows then.
    queueMicrotask(() => {
      if (!this.#over) this.onopen?.({ type: "open" } as never);
    });
  }

  send(data: string): void {
    if (this.#over) return;
    if (this.#begun) {
      this.#queue.push(data);
      void this.#flush();
      return;
    }
    this.#begun = true;
    if (this.#events) this.#listen(this.#events, data);
    else void this.#stream(data).then((why) => this.#end(why), (cause: unknown) => this.#end(String(cause)));
  }

  close(): void {
    this.#over = true;
    this.#queue = [];
    this.#abort.abort();
  }

  #end(reason: string): void {
    if (this.#over) return;
    this.close();
    this.onclose?.({ type: "close", code: 1006, reason } as never);
  }

  #listen(Events: EventSourceClass, first: string): void {
    const address = new URL(this.#url);
    address.searchParams.set("cf_connect", first);
    const source = new Events(address.href);
    this.#abort.signal.addEventListener("abort", () => source.close());
    source.onmessage = (event: MessageEvent<string>) => this.#take(event.data);
    // It would open again by itself, with commands of the past.
    source.onerror = () => this.#end("the event stream ended");
  }

  async #stream(first: string): Promise<string> {
    const response = await this.#post(this.#url, first);
    if (!response.ok || !response.body) return `HTTP ${response.status}`;
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return "the response ended";
      const text = rest + decoder.decode(value, { stream: true });
      const end = text.lastIndexOf("\n");
      rest = text.slice(end + 1);
      if (end > 0) this.#take(text.slice(0, end));
      if (rest.length > LINE) return "a line without an end";
    }
  }

  #take(frame: string): void {
    if (this.#over) return;
    if (!this.#session) {
      try {
        const { connect } = JSON.parse(frame.split("\n", 1)[0] as string) as { connect?: { session?: string; node?: string } };
        if (connect) this.#session = { session: connect.session ?? "", node: connect.node ?? "" };
      } catch {
        // The module says what is wrong with it.
      }
    }
    this.onmessage?.({ type: "message", data: frame } as never);
    void this.#flush();
  }

  async #flush(): Promise<void> {
    if (this.#sending || !this.#session) return;
    this.#sending = true;
    try {
      while (this.#queue.length > 0) {
        let [data, count] = [this.#queue[0] as string, 1];
        for (let next; (next = this.#queue[count]) !== undefined && data.length + next.length < PIECE; count += 1) data += `\n${next}`;
        const response = await this.#post(besides(this.#url), JSON.stringify({ ...this.#session, data }));
        if (response.status === 429 || response.status === 503) {
          await new Promise((resolve) => setTimeout(resolve, 1000));
        } else if (response.ok) {
          this.#queue.splice(0, count);
        } else {
          throw new Error(`commands: HTTP ${response.status}`);
        }
      }
    } catch (cause) {
      // Whether the commands arrived is not known: the next connection finds out.
      this.#end(String(cause));
    } finally {
      this.#sending = false;
    }
  }

  #post(url: string, body: string): Promise<Response> {
    const headers = { "content-type": "application/json" };
    return fetch(url, { method: "POST", headers, body, signal: this.#abort.signal, cache: "no-store" });
  }
}
