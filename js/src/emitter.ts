// Listeners by type. Owns who is told and in which order; never lets one listener harm another, and calls
// none that was removed while an event was on its way.

import type { Undo } from "./types.js";

interface Entry {
  readonly listener: (event: never) => unknown;
  /** How often it was added; 0: removed. */
  count: number;
}

/** Told about a listener that threw. */
export type HandlerFailed = (cause: unknown, type: string) => void;

export class Emitter<Events extends object> {
  readonly #entries = new Map<keyof Events, readonly Entry[]>();
  readonly #failed: HandlerFailed;

  constructor(failed: HandlerFailed) {
    this.#failed = failed;
  }

  /** Adds a listener. One that is added twice is called once, and stays until both undos were called. */
  on<T extends keyof Events>(type: T, listener: (event: Events[T]) => unknown): Undo {
    const entries = this.#entries.get(type) ?? [];
    let entry = entries.find((known) => known.listener === listener);
    if (entry === undefined) {
      entry = { listener, count: 0 };
      this.#entries.set(type, [...entries, entry]);
    }
    entry.count += 1;
    const added = entry;
    let done = false;
    return () => {
      if (done) return;
      done = true;
      added.count -= 1;
      if (added.count > 0) return;
      const rest = (this.#entries.get(type) ?? []).filter((known) => known !== added);
      if (rest.length === 0) this.#entries.delete(type);
      else this.#entries.set(type, rest);
    };
  }

  has(type: keyof Events): boolean {
    return this.#entries.has(type);
  }

  /** Gives the promises of those listeners that returned one; they never reject. */
  emit<T extends keyof Events & string>(type: T, event: Events[T]): PromiseLike<unknown>[] | undefined {
    const entries = this.#entries.get(type);
    if (entries === undefined) return undefined;
    let promises: PromiseLike<unknown>[] | undefined;
    const failed = (cause: unknown): void => this.#failed(cause, type);
    for (const entry of entries) {
      if (entry.count === 0) continue;
      try {
        const given = entry.listener(event as never) as PromiseLike<unknown> | null | undefined;
        if (typeof given?.then === "function") (promises ??= []).push(given.then(undefined, failed));
      } catch (cause) {
        failed(cause);
      }
    }
    return promises;
  }

  clear(): void {
    for (const entries of this.#entries.values()) for (const entry of entries) entry.count = 0;
    this.#entries.clear();
  }
}
