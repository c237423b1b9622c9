// Iterating over a channel: history joined to live without a hole, through a buffer that is bounded. What does
// not fit is read from history later, or told as one gap. Owns order and the absence of duplicates in the loop.

import type { Echo } from "./echo.js";
import { RealtimeError } from "./errors.js";
import type { ChannelRecord } from "./registry.js";
import type { ChannelGap, ChannelMessage, HistoryOptions, HistoryPage, MessagesOptions, Position } from "./types.js";

type Item<M> = ChannelMessage<M> | ChannelGap;
type History<M> = (query: HistoryOptions) => Promise<HistoryPage<M>>;

/** Messages asked for in one page while catching up. */
const PAGE = 200;
/** Wait before a page is asked for again after a failure that may pass, in milliseconds. */
const RETRY = 1000;

/** What a loop has around it. */
export interface LoopHome<M> {
  history: History<M>;
  /** Its client's own messages, where it shows them. */
  readonly echo: Echo<M> | undefined;
  /** Id of the connection. */
  client(): string;
  /** How an item is yielded. */
  shown<T extends Item<M>>(item: T): T;
  /** The app has asked for what follows this one. */
  done(position: Position): void;
  release(): void;
}

/** Where a channel stands behind an item. */
export const standing = (item: ChannelMessage | ChannelGap): Position => {
  if (item.type === "message") return item;
  const { from, to, reason } = item;
  // The log ends before the gap, and counts on from there.
  return reason === "rewound" ? { epoch: from.epoch, offset: from.offset - 1 } : to;
};

/** What a loop has not taken yet. */
export class Feed<M> {
  /** The channel, shared with all handles. */
  readonly record: ChannelRecord;
  readonly #limit: number;
  #items: Item<M>[] = [];
  #from = 0;
  /** The last one that did not fit; undefined: all did. */
  #missed: Position | undefined;
  #ended: { error: RealtimeError | undefined } | undefined;
  #wake: (() => void) | undefined;

  constructor(limit: number, record: ChannelRecord) {
    this.#limit = Math.max(1, limit);
    this.record = record;
  }

  get ended(): { error: RealtimeError | undefined } | undefined {
    return this.#ended;
  }

  push(item: Item<M>): void {
    const { epoch, offset } = standing(item);
    if (this.#missed || this.#items.length - this.#from >= this.#limit) {
      this.#missed = { epoch, offset };
    } else {
      this.#items.push(item);
    }
    this.wake();
  }

  /** Takes the next one; undefined: there is none. */
  shift(): Item<M> | undefined {
    const item = this.#items[this.#from];
    if (item === undefined) return undefined;
    this.#from += 1;
    if (this.#from > 64 && this.#from * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#from);
      this.#from = 0;
    }
    return item;
  }

  /** The last one that did not fit, once all that fitted were taken; from here on new ones are kept again. */
  takeMissed(): Position | undefined {
    const missed = this.#missed;
    this.#missed = undefined;
    return missed;
  }

  end(error?: RealtimeError): void {
    this.#ended ??= { error };
    this.wake();
  }

  wake(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  /** Waits until something happened. */
  async wait(signal: AbortSignal | undefined): Promise<void> {
    const wake = (): void => this.wake();
    signal?.addEventListener("abort", wake);
    await new Promise<void>((resolve) => {
      const other = this.#wake;
      this.#wake = () => {
        other?.();
        resolve();
      };
      if (signal?.aborted || this.#ended) wake();
    });
    signal?.removeEventListener("abort", wake);
  }
}

/** Waits, no longer than the signal allows. */
export const pause = (ms: number, signal: AbortSignal | undefined): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done);
  });

/** The loop over a feed. */
export const iterate = <M>(
  feed: Feed<M>,
  options: MessagesOptions,
  home: LoopHome<M>,
): AsyncGenerator<Item<M>, void, undefined> => {
  const loop = run(feed, options, home);
  // A generator that was never started does not run its finally block; this one must let go all the same.
  const end = loop.return.bind(loop);
  loop.return = (value) => {
    home.release();
    feed.end();
    return end(value);
  };
  return loop;
};

async function* run<M>(
  feed: Feed<M>,
  options: MessagesOptions,
  home: LoopHome<M>,
): AsyncGenerator<Item<M>, void, undefined> {
  const { last = 0, signal } = options;
  const { echo } = home;
  const read = new Reader(feed, home.history, signal);
  const news = (item: Item<M>): Item<M> => {
    if (item.type === "gap") echo?.skipped(item);
    return home.shown(item.type === "message" && echo ? echo.met(item, home.client()) : item);
  };
  try {
    if (last > 0) {
      const first: { page?: ChannelMessage<M>[]; failed?: unknown } = {};
      const wake = (): void => feed.wake();
      read
        .newest(last)
        .then(
          (page) => (first.page = page),
          (cause: unknown) => (first.failed = cause),
        )
        .then(wake, wake);
      // One's own are there before the history is.
      while (!first.page) {
        signal?.throwIfAborted();
        if ("failed" in first) throw first.failed;
        // Nothing may lie between this look and the wait.
        if (echo?.stirred) yield* echo.drain(read.at);
        else await feed.wait(signal);
      }
      for (const message of first.page) {
        yield news(message);
        home.done(message);
      }
    }
    for (;;) {
      signal?.throwIfAborted();
      if (echo?.stirred) {
        yield* echo.drain(read.at);
        continue;
      }
      const item = feed.shift();
      if (item) {
        if (read.passes(item)) yield news(item);
        home.done(standing(item));
        continue;
      }
      const missed = feed.takeMissed();
      if (missed) {
        for await (const found of read.catchUp(missed)) {
          yield news(found);
          home.done(standing(found));
        }
        continue;
      }
      if (feed.ended) {
        if (feed.ended.error) throw feed.ended.error;
        return;
      }
      await feed.wait(signal);
    }
  } finally {
    home.release();
  }
}

/** Where a loop stands, and how it reads what the feed could not keep. */
class Reader<M> {
  readonly #feed: Feed<M>;
  readonly #history: History<M>;
  readonly #signal: AbortSignal | undefined;
  /** The last one that was yielded; undefined: none yet. */
  at: Position | undefined;

  constructor(feed: Feed<M>, history: History<M>, signal: AbortSignal | undefined) {
    this.#feed = feed;
    this.#history = history;
    this.#signal = signal;
  }

  /** Whether an item is news; if so, the loop stands there. */
  passes(item: Item<M>): boolean {
    const at = standing(item);
    const rewound = item.type === "gap" && item.reason === "rewound";
    if (at.offset === 0 && !rewound) return true;
    const known = this.at;
    if (!rewound && known && known.epoch === at.epoch && at.offset <= known.offset) return false;
    this.at = { epoch: at.epoch, offset: at.offset };
    return true;
  }

  /** The newest `count` messages, once the channel is subscribed: what comes later is in the feed. */
  async newest(count: number): Promise<ChannelMessage<M>[]> {
    for (;;) {
      this.#signal?.throwIfAborted();
      if (this.#feed.ended) return [];
      if (this.#feed.record.state.status !== "subscribed") {
        await this.#feed.wait(this.#signal);
        continue;
      }
      const page = await this.#page({ limit: count, reverse: true });
      if (!page) continue;
      const messages = [...page.messages].reverse();
      // The page may end in newer messages than the channel had when it was subscribed: they come from here.
      const position = page.position;
      if (position) this.at = { epoch: position.epoch, offset: messages[messages.length - 1]?.offset ?? position.offset };
      return messages;
    }
  }

  /** Reads on from where the loop stands, at least up to `missed`; what is not there becomes one gap. */
  async *catchUp(missed: Position): AsyncGenerator<Item<M>, void, undefined> {
    let from = this.at;
    while (from && missed.offset > 0 && !this.#feed.ended) {
      let page: HistoryPage<M> | undefined;
      try {
        page = await this.#page({ limit: PAGE, since: from });
      } catch (error) {
        this.#signal?.throwIfAborted();
        if (!(error instanceof RealtimeError)) throw error;
        break;
      }
      if (!page) continue;
      const first = page.messages[0];
      if (!first) break;
      const expected: number = from.offset + 1;
      if (first.offset > expected) {
        const to = { epoch: from.epoch, offset: first.offset - 1 };
        yield { type: "gap", from: { epoch: from.epoch, offset: expected }, to, reason: "lagged" };
      }
      for (const message of page.messages) {
        if (this.passes(message)) yield message;
      }
      from = this.at;
      if (from && from.epoch === missed.epoch && from.offset >= missed.offset) return;
    }
    const at = this.at;
    if (at && at.epoch === missed.epoch && at.offset >= missed.offset && missed.offset > 0) return;
    const begin = at && missed.offset > 0 ? { epoch: at.epoch, offset: at.offset + 1 } : missed;
    this.at = missed.offset > 0 ? missed : at;
    yield { type: "gap", from: begin, to: missed, reason: "lagged" };
  }

  /** A page; undefined: try again. Throws what will not pass. */
  async #page(query: HistoryOptions): Promise<HistoryPage<M> | undefined> {
    try {
      return await this.#history({ ...query, ...(this.#signal ? { signal: this.#signal } : {}) });
    } catch (error) {
      this.#signal?.throwIfAborted();
      if (!(error instanceof RealtimeError) || !error.retryable) throw error;
      await pause(RETRY, this.#signal);
      return undefined;
    }
  }
}
