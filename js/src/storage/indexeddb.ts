// Records in IndexedDB: one database of the origin, one transaction a batch. A Web Lock for each producer says whose it
// is: the browser lets go of it when the tab dies, however it dies, and one of the tabs that wait for it goes on with
// the producer. Which producers there are, tabs tell each other; each reads the records itself, under the lock.

import { RealtimeError } from "../errors.js";
import type { Storage, StorageOp, StorageRecord, StorageScope } from "../storage.js";

const NAME = "homing";
const VERSION = 1;
const STORE = "records";
/** How long a producer's lock may take that nobody should have, in milliseconds. */
const PATIENCE = 2000;

export class IndexedDb implements Storage {
  #db: IDBDatabase | undefined;
  #scope: readonly [server: string, user: string] = ["", ""];
  /** What begins the names of its locks; empty: closed. */
  #name = "";
  #bell: BroadcastChannel | undefined;
  #abort = new AbortController();
  /** How to let go of each producer of its own. */
  readonly #held = new Map<string, () => void>();
  readonly #awaited = new Set<string>();
  #adopted: (records: readonly StorageRecord[]) => void = () => undefined;
  #last: Promise<unknown> = Promise.resolve();

  open(scope: StorageScope, adopted: (records: readonly StorageRecord[]) => void): Promise<readonly StorageRecord[]> {
    return this.#turn(async () => {
      if (typeof indexedDB !== "object") throw new Error("there is no IndexedDB here");
      if (!globalThis.navigator?.locks) throw new Error("there are no Web Locks here, which pages have on https and localhost");
      const name = NAME + JSON.stringify([scope.server, scope.user]);
      if (name !== this.#name) this.#release();
      this.#name = name;
      this.#scope = [scope.server, scope.user];
      this.#adopted = adopted;
      if (!this.#db) {
        const db = (this.#db = await connect());
        // A newer version of the package wants the database, or the browser has taken it: the next write fails.
        db.onversionchange = db.onclose = () => {
          db.close();
          if (this.#db === db) this.#db = undefined;
        };
      }
      // Before the records are read: a producer that is not among them is told.
      if (!this.#bell) {
        this.#bell = new BroadcastChannel(name);
        this.#bell.onmessage = ({ data }) => this.#await(String(data));
      }
      let records = await this.#read();
      let claimed = false;
      for (const id of new Set(records.map(ownerOf))) {
        if (id === undefined || this.#held.has(id)) continue;
        if (await this.#claim(id, { ifAvailable: true })) claimed = true;
        else this.#await(id);
      }
      // The one before may have written until its lock was gone.
      if (claimed) records = await this.#read();
      return records.filter((record) => {
        const id = ownerOf(record);
        return id === undefined || this.#held.has(id);
      });
    });
  }

  write(ops: readonly StorageOp[]): Promise<void> {
    return this.#turn(async () => {
      const fresh: string[] = [];
      for (const op of ops) {
        const id = ownerOf(op);
        if (id === undefined || op[1] === null || this.#held.has(id)) continue;
        if (!(await this.#claim(id, { signal: AbortSignal.timeout(PATIENCE) }))) throw new Error(`another tab has ${id}`);
        fresh.push(id);
      }
      // Told before, for those who listen already, and after, for those who read before it was there.
      this.#ring(fresh);
      await this.#change((store) => {
        for (const [key, value] of ops) {
          const at = [...this.#scope, key];
          if (value === null) store.delete(at);
          else if (!key.startsWith("o/")) store.put(value, at);
          else {
            const known: IDBRequest<unknown> = store.get(at);
            known.onsuccess = () => {
              if (!isBehind(value, known.result)) store.put(value, at);
            };
          }
        }
      });
      this.#ring(fresh);
      for (const [key, value] of ops) if (value === null && key.startsWith("p/")) this.#drop(key.slice(2));
    });
  }

  erase(): Promise<void> {
    return this.#turn(() => this.#change((store) => store.delete(this.#range())));
  }

  close(): Promise<void> {
    return this.#turn(() => {
      this.#release();
      this.#db?.close();
      this.#db = undefined;
      return Promise.resolve();
    });
  }

  /** One thing after the other, also after one that failed. */
  #turn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  #range(): IDBKeyRange {
    // A list is greater than any text.
    return IDBKeyRange.bound([...this.#scope], [...this.#scope, []]);
  }

  #open(mode: IDBTransactionMode): IDBTransaction {
    if (!this.#db) throw new Error("the database was closed by the browser or for a newer version of the app");
    return this.#db.transaction(STORE, mode, { durability: "strict" });
  }

  async #read(): Promise<StorageRecord[]> {
    const transaction = this.#open("readonly");
    const store = transaction.objectStore(STORE);
    const keys = store.getAllKeys(this.#range());
    const values = store.getAll(this.#range()) as IDBRequest<unknown[]>;
    await finished(transaction);
    return keys.result.map((key, at) => [(key as string[])[2] ?? "", String(values.result[at])]);
  }

  async #change(make: (store: IDBObjectStore) => void): Promise<void> {
    const transaction = this.#open("readwrite");
    make(transaction.objectStore(STORE));
    await finished(transaction);
  }

  #ring(ids: readonly string[]): void {
    for (const id of ids) this.#bell?.postMessage(id);
  }

  /** Whether the producer is this one's from here on; it waits for that as long as `options` allow. */
  #claim(id: string, options: LockOptions): Promise<boolean> {
    const name = this.#name;
    return new Promise((resolve, reject) => {
      navigator.locks
        .request(name + id, options, (lock) => {
          if (!lock || this.#name !== name) return resolve(false);
          return new Promise<void>((release) => {
            this.#held.set(id, release);
            resolve(true);
          });
        })
        .catch((error: unknown) => {
          if (options.signal?.aborted) resolve(false);
          else reject(error);
        });
    });
  }

  /** Adopts a producer of another tab, once that one is gone. */
  #await(id: string): void {
    if (this.#held.has(id) || this.#awaited.has(id)) return;
    const { signal } = this.#abort;
    this.#awaited.add(id);
    const adopt = async (): Promise<void> => {
      if (signal.aborted) return;
      this.#awaited.delete(id);
      const records = (await this.#read()).filter((record) => ownerOf(record) === id);
      if (records.length > 0) this.#adopted(records);
      else this.#drop(id);
    };
    void this.#claim(id, { signal })
      .then(() => this.#turn(adopt))
      .catch(() => this.#drop(id));
  }

  #drop(id: string): void {
    this.#held.get(id)?.();
    this.#held.delete(id);
  }

  #release(): void {
    this.#name = "";
    this.#abort.abort();
    this.#abort = new AbortController();
    this.#awaited.clear();
    this.#bell?.close();
    this.#bell = undefined;
    for (const id of [...this.#held.keys()]) this.#drop(id);
  }
}

const connect = (): Promise<IDBDatabase> =>
  new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => {
      const { error } = request;
      const future = error?.name === "VersionError";
      reject(future ? RealtimeError.of("storage_from_future", error.message, error) : (error as Error));
    };
  });

const finished = (transaction: IDBTransaction): Promise<void> =>
  new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new Error("the transaction was aborted"));
  });

/** The producer that a record belongs to. */
const ownerOf = ([key]: readonly [string, unknown]): string | undefined => /^[ple]\/([^/]*)/.exec(key)?.[1];

/** Whether a position stands behind the one that is stored. */
const isBehind = (position: string, stored: unknown): boolean => {
  try {
    const [one, other] = [position, String(stored)].map((text) => JSON.parse(text) as { epoch: string; offset: number });
    return one?.epoch === other?.epoch && (one?.offset ?? 0) < (other?.offset ?? 0);
  } catch {
    return false;
  }
};
