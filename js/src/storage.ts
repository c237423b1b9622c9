// What a durable storage is to the client: records of text by key, for one user of one server. Its formats are the
// module's; a storage never looks into a value, positions that several tabs share apart.

/** Whose data it is: nothing is read or written under another one. */
export interface StorageScope {
  /** The first endpoint, or the option `storageName`. */
  readonly server: string;
  /** Id of the user; empty: anonymous. */
  readonly user: string;
}

/** A record: its key and its value. */
export type StorageRecord = readonly [key: string, value: string];

/** Sets a record, or removes it if there is one. */
export type StorageOp = readonly [key: string, value: string | null];

/**
 * A durable storage, for one client at a time. What it rejects with is told to the app as `storage_failed` (or
 * `storage_from_future`, where it is a `RealtimeError` of that name), and the client goes on in memory.
 *
 * The keys of a producer, its lanes and its messages begin with `p/`, `l/` and `e/`, the producer's id and `/` or the
 * end. Where several living clients share the storage, a producer belongs to the client that wrote it first, until
 * that one is closed or dead; then to one of the others. `o/` begins positions, JSON objects with `epoch` and `offset`:
 * they are everybody's, and none may go back within an epoch.
 */
export interface Storage {
  /**
   * Opens the data of a scope, in place of the one before, and gives everything in it that belongs to no other living
   * client. `adopted` is called with what one that has died since has left behind.
   */
  open(scope: StorageScope, adopted: (records: readonly StorageRecord[]) => void): Promise<readonly StorageRecord[]>;
  /** Applies all or nothing, behind the writes before. Resolves when it would survive a crash. */
  write(ops: readonly StorageOp[]): Promise<void>;
  /** Erases the data of the open scope, behind the writes before. */
  erase(): Promise<void>;
  /** Lets go of everything, behind the writes before. May be opened again. */
  close(): Promise<void>;
}
