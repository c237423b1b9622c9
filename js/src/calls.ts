// Calls that wait for an answer: each promise settles exactly once, by answer, abort or the client's end.

import type { Bridge, Host } from "./bridge.js";
import { RealtimeError, type ErrorName } from "./errors.js";
import type { Position, PublishAck, Sending, Stored } from "./types.js";
import { CANCEL } from "./verbs.generated.js";
import { toError, type WireOutboxChange, type WireResult } from "./wire.js";

interface Pending {
  settle(result: WireResult): void;
  readonly fail: (error: unknown) => void;
  readonly hooks: Hooks;
  /** Whether there was a connection that it may have been sent on. */
  sent: boolean;
  /** The module does not know this call any more. */
  detach(): void;
  /** Place in the outbox of a message that came back without its call. */
  entry?: number | undefined;
}

/** What else wants to know of a call. */
interface Hooks {
  /** It is kept. */
  stored?(durably: boolean): void;
  /** It is over; `error`: not as it should be. */
  over?(error?: unknown): void;
  /** Asked twice it does the same as asked once. */
  readonly question?: boolean;
  /** Id of the message that it publishes. */
  readonly message?: string | undefined;
}

/** What may be published. */
export interface Limits {
  /** Bytes of a message. */
  readonly message: number;
  /** Messages in the outbox. */
  readonly count: number;
  /** Bytes in the outbox. */
  readonly total: number;
  /** Whether there is a durable storage: the module tells when a message is kept. */
  readonly keeps: boolean;
}

/** Refused for what the caller did. */
const misuses: readonly string[] = ["invalid_payload", "message_too_large", "queue_full", "not_in_outbox", "not_parked"];

/** How a message leaves the outbox without an acknowledgement. */
const ends: { readonly [type in WireOutboxChange["t"]]?: ErrorName } = { discarded: "cancelled", handed_over: "fenced" };

/** Longest wait for calls to end before the connection moves. */
const PATIENCE = 10_000;

export class Calls {
  readonly #bridge: Bridge;
  readonly #limits: Limits;
  readonly #pending = new Map<number, Pending>();
  /** Calls of a lost client of the module, by the message that may come back out of the storage. */
  readonly #orphans = new Map<string, Pending>();
  #loss: RealtimeError | undefined;
  #online = false;
  /** Waits for a quiet moment. */
  #quiet: (() => void) | undefined;
  #late: ReturnType<typeof setTimeout> | undefined;
  /** Published before the module ran, and not over. */
  readonly early = { count: 0, bytes: 0 };

  constructor(bridge: Bridge, limits: Limits) {
    this.#bridge = bridge;
    this.#limits = limits;
  }

  /** Makes a call; `send` answers with its id. */
  make<T>(
    send: (host: Host) => number,
    decode: (result: never) => T,
    signal: AbortSignal | undefined,
    hooks: Hooks = {},
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
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
        if (!finish()) return;
        hooks.over?.(error);
        reject(error);
      };
      if (signal?.aborted) {
        fail(signal.reason);
        return;
      }
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
            if (!finish()) return;
            hooks.over?.();
            resolve(decode(result as never));
          },
          fail,
          hooks,
          sent: this.#online,
          detach: () => (id = undefined),
        });
      }, fail);
    });
  }

  /**
   * Publishes `data`, throws what is wrong with it; `send` answers with the id of the call. Without an `id` the
   * module says it.
   */
  publish(send: (host: Host) => number, data: string, signal?: AbortSignal, id?: string): Sending {
    const bytes = this.#admit(data);
    let stored: (durably: boolean) => void = () => undefined;
    let lost: (error: unknown) => void = () => undefined;
    const keeping = new Promise<Stored>((resolve, reject) => {
      stored = (durably) => resolve({ durably });
      lost = reject;
    });
    keeping.catch(() => undefined);
    let wrong: RealtimeError | undefined;
    const sending = this.make(
      (host) => {
        const made = send(host);
        if (made >= 0) {
          id ??= host.said();
          if (!this.#limits.keeps) stored(false);
        }
        return made;
      },
      ({ position, time, duplicate }: { position: Position | null; time: number; duplicate: boolean }): PublishAck => ({
        epoch: position?.epoch ?? "",
        offset: position?.offset ?? 0,
        time,
        duplicate,
      }),
      signal,
      {
        stored,
        message: id,
        over: (error) => {
          if (bytes > 0) {
            this.early.count -= 1;
            this.early.bytes -= bytes;
          }
          if (error instanceof RealtimeError && misuses.includes(error.name)) wrong = error;
          if (error === undefined) stored(false);
          else lost(error);
        },
      },
    );
    if (wrong) {
      sending.catch(() => undefined);
      throw wrong;
    }
    return Object.assign(sending, { id: id ?? "", stored: keeping });
  }

  /** What the module would refuse, while it does not run yet: answers how many bytes wait for it. */
  #admit(data: string): number {
    if (this.#bridge.host) return 0;
    const bytes = new TextEncoder().encode(data).length;
    const { message, count, total } = this.#limits;
    const early = this.early;
    const check = (name: "message_too_large" | "queue_full", actual: number, maximum: number): void => {
      if (actual > maximum) throw new RealtimeError(name, { limit: { actual, maximum } });
    };
    check("message_too_large", bytes, message);
    check("queue_full", early.count + 1, count);
    check("queue_full", early.bytes + bytes, total);
    early.count += 1;
    early.bytes += bytes;
    return bytes;
  }

  /** A message is kept. */
  stored(id: number, durably: boolean): void {
    this.#pending.get(id)?.hooks.stored?.(durably);
  }

  settled(id: number, result: WireResult): void {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    pending?.settle(result);
    this.#calm();
  }

  failed(id: number, error: RealtimeError): void {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    pending?.fail(error);
    this.#calm();
  }

  /** Calls `go` once nothing is under way whose end a lost connection would leave unknown, and after a while anyway. */
  whenQuiet(go: () => void): void {
    clearTimeout(this.#late);
    this.#quiet = go;
    this.#late = setTimeout(() => this.#calm(true), PATIENCE);
    this.#calm();
  }

  #calm(late = false): void {
    const go = this.#quiet;
    if (!go || (!late && [...this.#pending.values()].some(({ hooks }) => !hooks.question))) return;
    this.#quiet = undefined;
    clearTimeout(this.#late);
    go();
  }

  /** There is a connection, or not. */
  set online(online: boolean) {
    this.#online = online;
    if (online) for (const call of this.#pending.values()) call.sent = true;
  }

  /** The module's client is lost, and with it what it knew of each call. Messages that are `kept` come back. */
  lost(error: RealtimeError, kept: boolean): void {
    const pending = [...this.#orphans.values(), ...this.#pending.values()];
    this.#pending.clear();
    this.#orphans.clear();
    this.#online = false;
    this.#loss = error;
    for (const call of pending) {
      const { message } = call.hooks;
      call.detach();
      call.entry = undefined;
      if (kept && message) this.#orphans.set(message, call);
      else this.#lose(call);
    }
  }

  /** Whether messages may come back whose calls were made before the loss. */
  get orphaned(): boolean {
    return this.#orphans.size > 0;
  }

  /** Something happened in the outbox. */
  heard({ n, t, entry, position = null, time = 0 }: WireOutboxChange): void {
    for (const [message, call] of this.#orphans) {
      if (entry?.id === message) call.entry = n;
      if (call.entry !== n) continue;
      const ended = entry?.error ? toError(entry.error) : ends[t] && RealtimeError.of(ends[t]);
      if (!ended && t !== "acked") {
        call.hooks.stored?.(true);
        continue;
      }
      this.#orphans.delete(message);
      if (ended) call.fail(ended);
      else call.settle({ position, time, duplicate: false });
    }
  }

  /** The storage has given what it has: what has not come back was never stored. */
  opened(): void {
    for (const [message, call] of this.#orphans) {
      if (call.entry !== undefined) continue;
      this.#orphans.delete(message);
      this.#lose(call);
    }
  }

  #lose({ hooks, sent, fail }: Pending): void {
    const unknown = sent && !hooks.question;
    const error = this.#loss as RealtimeError;
    fail(unknown ? RealtimeError.of("outcome_unknown", error.message, error) : error);
  }

  /** Rejects everything that is left. */
  end(error: RealtimeError): void {
    this.#quiet = undefined;
    clearTimeout(this.#late);
    const pending = [...this.#orphans.values(), ...this.#pending.values()];
    this.#pending.clear();
    this.#orphans.clear();
    for (const call of pending) call.fail(error);
  }
}

/** 120 random bits as 20 characters that may stand in keys and addresses. */
export const messageId = (): string =>
  btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(15)))).replace(/[+/]/g, (sign) => (sign === "+" ? "-" : "_"));

/** Why the module refused the last call. */
export const refusal = (host: Host): RealtimeError =>
  toError(JSON.parse(host.said()) as Parameters<typeof toError>[0]);
