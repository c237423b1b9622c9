// A storage of the test, in memory: a shelf that several instances share as tabs share IndexedDB. It can be told to
// fail, and keeps count of what it was asked.

const ownerOf = (key) => /^[ple]\/([^/]*)/.exec(key)?.[1];

export class Shelf {
  /** Records by scope. */
  data = new Map();
  /** Who owns a producer, by scope and id. */
  owners = new Map();
  members = new Set();
  writes = 0;

  records(scope) {
    const name = JSON.stringify(scope);
    if (!this.data.has(name)) this.data.set(name, new Map());
    return this.data.get(name);
  }

  /** What is left of it if everybody who uses it dies now. */
  copy() {
    const copy = new Shelf();
    for (const [scope, records] of this.data) copy.data.set(scope, new Map(records));
    return copy;
  }
}

export class ShelfStorage {
  #shelf;
  #scope;
  #adopted = () => {};
  /** Refuses with this, if set. */
  failing;

  constructor(shelf = new Shelf()) {
    this.#shelf = shelf;
  }

  get #name() {
    return JSON.stringify(this.#scope);
  }

  #mine(id) {
    const key = this.#name + id;
    if (!this.#shelf.owners.has(key)) this.#shelf.owners.set(key, this);
    return this.#shelf.owners.get(key) === this;
  }

  async open({ server, user }, adopted) {
    if (this.failing) throw this.failing;
    if (JSON.stringify([server, user]) !== this.#name) this.#release();
    this.#scope = [server, user];
    this.#adopted = adopted;
    this.#shelf.members.add(this);
    return [...this.#shelf.records(this.#scope)].filter(([key]) => ownerOf(key) === undefined || this.#mine(ownerOf(key)));
  }

  async write(ops) {
    if (this.failing) throw this.failing;
    this.#shelf.writes += 1;
    const records = this.#shelf.records(this.#scope);
    for (const [key, value] of ops) {
      const id = ownerOf(key);
      if (value === null) {
        records.delete(key);
        if (key.startsWith("p/")) this.#shelf.owners.delete(this.#name + id);
        continue;
      }
      if (id !== undefined && !this.#mine(id)) throw new Error(`another instance has ${id}`);
      if (key.startsWith("o/") && records.has(key)) {
        const [stored, given] = [JSON.parse(records.get(key)), JSON.parse(value)];
        if (stored.epoch === given.epoch && given.offset < stored.offset) continue;
      }
      records.set(key, value);
    }
  }

  async erase() {
    this.#shelf.records(this.#scope).clear();
  }

  async close() {
    this.#release();
    this.#scope = undefined;
  }

  #release() {
    this.#shelf.members.delete(this);
    for (const [key, owner] of this.#shelf.owners) if (owner === this) this.#shelf.owners.delete(key);
    for (const other of this.#shelf.members) other.#adopt();
  }

  #adopt() {
    const left = [...this.#shelf.records(this.#scope)].filter(([key]) => {
      const id = ownerOf(key);
      return id !== undefined && !this.#shelf.owners.has(this.#name + id);
    });
    for (const [key] of left) this.#mine(ownerOf(key));
    if (left.length > 0) queueMicrotask(() => this.#adopted(left));
  }
}
