// Closing a gap with the app's own data: the channel's position stands already, `reload` reads, and what comes
// meanwhile waits. Owns what waits, within a limit, and the retries; the handle hands out.

import { pause } from "./messages.js";
import type { ChannelGap, ChannelMessage, Position, ReloadContext } from "./types.js";

type Item = ChannelMessage | ChannelGap;

/** What a handle gives. */
export interface ReloadHome {
  reload(gap: ChannelGap, context: ReloadContext): unknown;
  /** It threw. */
  failed(cause: unknown): void;
  /** Hands an item to loops and listeners. */
  hand(item: Item, seq: number): void;
  /** What was handed out from `seq` on is not processed, or is now. */
  hold(seq: number): void;
  release(seq: number): void;
}

const LIMIT = 1024;
const FIRST_WAIT = 1000;
const LONGEST_WAIT = 30_000;

const positionOf = (item: Item, end: "from" | "to"): Position =>
  item.type === "gap" ? item[end] : { epoch: item.epoch, offset: item.offset };

export class Reload {
  readonly #home: ReloadHome;
  readonly #abort = new AbortController();
  #running = false;
  #held: [Item, number][] = [];
  /** What did not fit: one gap, and the number of its first message. */
  #lost: [ChannelGap, number] | undefined;

  constructor(home: ReloadHome) {
    this.#home = home;
  }

  /** Takes an item, or hands it out; a gap begins a reload. */
  take(item: Item, seq: number): void {
    if (!this.#running) {
      this.#home.hand(item, seq);
      if (item.type === "gap") void this.#run(item, seq);
    } else if (!this.#lost && this.#held.length < LIMIT) {
      this.#held.push([item, seq]);
    } else {
      const [lost, first] = this.#lost ?? [{ from: positionOf(item, "from") }, seq];
      this.#lost = [{ type: "gap", from: lost.from, to: positionOf(item, "to"), reason: "lagged" }, first];
    }
  }

  /** The handle is over. */
  end(): void {
    this.#abort.abort();
    this.#held = [];
    this.#lost = undefined;
  }

  async #run(gap: ChannelGap, seq: number): Promise<void> {
    const { signal } = this.#abort;
    this.#running = true;
    this.#home.hold(seq);
    for (let wait = FIRST_WAIT; ; wait = Math.min(wait * 2, LONGEST_WAIT)) {
      try {
        await this.#home.reload(gap, { signal });
        break;
      } catch (cause) {
        if (signal.aborted) return;
        this.#home.failed(cause);
      }
      await pause(wait, signal);
      if (signal.aborted) return;
    }
    if (signal.aborted) return;
    this.#running = false;
    // Another gap among them begins anew, and the rest waits on.
    for (let next = this.#held.shift(); next; next = this.#running ? undefined : this.#held.shift()) this.take(...next);
    const lost = this.#lost;
    if (lost && !this.#running) {
      this.#lost = undefined;
      this.take(...lost);
    }
    this.#home.release(seq);
  }
}
