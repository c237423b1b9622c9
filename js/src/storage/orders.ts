// Carries the module's orders out on a storage, and tells the module how they ended. Decides nothing; what a former
// instance of the module had ordered is told to nobody, nor what was found in a scope that was left meanwhile.

import type { Bridge, Host } from "../bridge.js";
import { table } from "../errors.generated.js";
import { RealtimeError } from "../errors.js";
import { STORAGE_ADOPTED, STORAGE_OPENED, STORED } from "../verbs.generated.js";
import type { WireStorage } from "../wire.js";
import type { Storage, StorageRecord } from "../storage.js";

/** How long a close waits for a storage that does not answer, in milliseconds. */
const PATIENCE = 5000;

export class StorageOrders {
  readonly #bridge: Bridge;
  readonly #storage: Storage;
  readonly #opened: () => void;
  #taken = false;
  #opens = 0;
  #opening: Promise<unknown> = Promise.resolve();
  #erased: Promise<void> | undefined;

  /** `opened` is told when the module has heard what the storage has, or that it could not be opened. */
  constructor(bridge: Bridge, storage: Storage, opened: () => void) {
    this.#bridge = bridge;
    this.#storage = storage;
    this.#opened = opened;
  }

  /** Whether the module has taken over what the open storage gave. */
  get taken(): boolean {
    return this.#taken;
  }

  carryOut(order: WireStorage): void {
    const storage = this.#storage;
    const ordering = this.#bridge.host;
    const tell = (verb: number, one: string, two = "", number = 0): void => {
      if (ordering && this.#bridge.host === ordering) this.#bridge.run((host: Host) => host.tell(verb, one, two, number, 0));
    };
    switch (order.e) {
      case "storage_open": {
        this.#taken = false;
        const open = (this.#opens += 1);
        const answer = (verb: number, one: string, two?: string, number?: number): void => {
          if (open === this.#opens) tell(verb, one, two, number);
        };
        const opened = attempt(() =>
          storage.open({ server: order.server, user: order.user }, (left) => {
            void opened.then(() => answer(STORAGE_ADOPTED, flat(left))).catch(() => undefined);
          }),
        );
        const told = opened.then(
          (records) => answer(STORAGE_OPENED, flat(records)),
          (error: unknown) => {
            // By name, so that an error made by another copy of the package counts too.
            const future = error instanceof Error && error.name === "storage_from_future";
            answer(STORAGE_OPENED, "", textOf(error), table[future ? "storage_from_future" : "storage_failed"][0]);
          },
        );
        this.#opening = told.then(() => {
          if (this.#bridge.host === ordering && open === this.#opens) this.#opened();
        });
        break;
      }
      case "storage_write":
        this.#taken = true;
        attempt(() => storage.write(order.ops)).then(
          () => tell(STORED, "", "", order.id),
          (error: unknown) => tell(STORED, textOf(error), "", order.id),
        );
        break;
      case "storage_erase":
        this.#erased = this.#opening.then(() => storage.erase());
    }
  }

  /**
   * The module uses the storage no more. What it has taken over stays its own as long as the page lives: it goes on in
   * memory, and nobody else must send it meanwhile.
   */
  failed(): void {
    if (!this.#taken) void this.close();
  }

  /** Lets go of the storage once everything that was ordered is done. Rejects where it was to `forget` and could not. */
  async close(forget = false): Promise<void> {
    const erased = this.#erased;
    let wrong: unknown = !forget ? undefined : erased ? "" : "pass the option user";
    const work = async (): Promise<void> => {
      if (erased) wrong = await erased.catch((error: unknown) => error ?? "");
      await this.#storage.close();
    };
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, PATIENCE);
    });
    await Promise.race([work().catch(() => undefined), late]);
    clearTimeout(timer);
    if (wrong !== undefined) throw RealtimeError.of("not_erased", textOf(wrong), wrong);
  }
}

/** A storage of the app may throw where it should reject. */
const attempt = async <T>(work: () => Promise<T>): Promise<T> => await work();

const flat = (records: readonly StorageRecord[]): string => JSON.stringify(records.flat());

const textOf = (error: unknown): string => String(error) || "no reason given";
