// Calls that wait for an answer: each promise settles exactly once, by answer, abort or the client's end.

import type { Bridge, Host } from "./bridge.js";
import { RealtimeError } from "./errors.js";
import { CANCEL } from "./verbs.generated.js";
import { toError, type WireResult } from "./wire.js";

interface Pending {
  settle(result: WireResult): void;
  fail(error: unknown): void;
}

export class Calls {
  readonly #bridge: Bridge;
  readonly #pending = new Map<number, Pending>();

  constructor(bridge: Bridge) {
    this.#bridge = bridge;
  }

  /** Makes a call; `send` answers with its id. */
  make<T>(
    send: (host: Host) => number,
    decode: (result: never) => T,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason as Error);
        return;
      }
      let id: number | undefined;
      let over = false;
      const abort = (): void => {
        const sent = id;
        fail(signal?.reason);
        if (sent !== undefined) {
          this.#pending.delete(sent);
          this.#bridge.run((host) => host.tell(CANCEL, "", "", sent, 0));
        }
      };
      const finish = (): boolean => {
        if (over) return false;
        over = true;
        signal?.removeEventListener("abort", abort);
        return true;
      };
      const fail = (error: unknown): void => {
        if (finish()) reject(error);
      };
      signal?.addEventListener("abort", abort, { once: true });
      this.#bridge.run((host) => {
        if (over) return;
        const made = send(host);
        if (made < 0) {
          fail(refusal(host));
          return;
        }
        id = made;
        this.#pending.set(made, {
          settle: (result) => {
            if (finish()) resolve(decode(result as never));
          },
          fail,
        });
      }, fail);
    });
  }

  settled(id: number, result: WireResult): void {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    pending?.settle(result);
  }

  failed(id: number, error: RealtimeError): void {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    pending?.fail(error);
  }

  /** Rejects everything that is left. */
  end(error: RealtimeError): void {
    const pending = [...this.#pending.values()];
    this.#pending.clear();
    for (const call of pending) call.fail(error);
  }
}

/** Why the module refused the last call. */
export const refusal = (host: Host): RealtimeError =>
  toError(JSON.parse(host.said()) as Parameters<typeof toError>[0]);
