// The tests' own storage against the contract of all storages: what the tests of the client use must keep to it. Then
// a client on storages of an app that are late, refuse, throw or give what is no text.

import assert from "node:assert/strict";
import test from "node:test";
import { RealtimeError } from "../dist/index.js";
import { contract, playCase } from "./support/contract.mjs";
import { client, serve } from "./support/setup.mjs";
import { Shelf, ShelfStorage } from "./support/shelf.mjs";
import { connected, next, rejection, until } from "./support/waiting.mjs";

const stage = () => {
  const shelf = new Shelf();
  return {
    make() {
      const told = [];
      let it = new ShelfStorage(shelf);
      return {
        open: (scope) => it.open(scope, (records) => told.push(...records)),
        write: (ops) => it.write(ops),
        fails: (ops) => {
          it.failing = new Error("full");
          return it.write(ops).finally(() => (it.failing = undefined));
        },
        erase: () => it.erase(),
        close: () => it.close(),
        die: () => it.close(),
        adopted: () => told,
      };
    },
    put: (server, user, key, value) => shelf.records([server, user]).set(key, value),
  };
};

for (const kind of ["cases", "shared"]) {
  for (const each of contract[kind]) test(each.name, () => playCase(stage(), each));
}

const server = await serve();

/** The fake server names the user as Homing's does. */
const named = (user) => ({ homing: { version: 1, capabilities: [], user } });

test("what an open brings of a user who was left meanwhile is dropped", async () => {
  const shelf = new Shelf();
  const ada = client(server, { storage: new ShelfStorage(shelf), user: "ada" });
  const sending = ada.channel("chat:left").publish("ada's");
  const closed = rejection(sending);
  await sending.stored;
  await ada.close();
  assert.equal((await closed).name, "closed");
  assert.equal(shelf.members.size, 0);
  const storage = new ShelfStorage(shelf);
  const open = storage.open.bind(storage);
  const answers = {};
  storage.open = async (scope, adopted) => {
    const answered = new Promise((resolve) => (answers[scope.user] = resolve));
    const records = await open(scope, adopted);
    await answered;
    return records;
  };
  server.connectResult = named("bob");
  const bob = client(server, { storage, user: "ada" });
  bob.connect();
  await until(() => answers.bob, "the second open");
  answers.ada();
  await new Promise((resolve) => setImmediate(resolve));
  answers.bob();
  await bob.channel("chat:left").publish("bob's");
  server.connectResult = {};
  assert.deepEqual(server.log("chat:left").map(({ data }) => data), ["bob's"]);
});

for (const [what, open, name] of [
  ["refuses", () => Promise.reject(new Error("not today")), "storage_failed"],
  ["throws", () => { throw new TypeError("not at all"); }, "storage_failed"],
  ["is from the future", () => Promise.reject(new RealtimeError("storage_from_future")), "storage_from_future"],
  ["gives what is no text", () => Promise.resolve([["k", 7]]), "storage_failed"],
  ["never answers", () => new Promise(() => {}), "storage_failed"],
]) {
  test(`a storage that ${what} is told, and the client goes on in memory`, async () => {
    const shelf = new ShelfStorage();
    let closed = 0;
    const storage = { open, write: (ops) => shelf.write(ops), erase: () => shelf.erase(), close: async () => void (closed += 1) };
    const it = client(server, { storage, user: "ada", storageTimeout: 200 });
    const told = next(it, "error", (error) => error.name === name);
    const sending = it.channel("chat:memory").publish(what);
    await told;
    assert.deepEqual(await sending.stored, { durably: false });
    it.connect();
    await sending;
    assert.equal(closed, 1);
  });
}

test("a storage that fails later is told once, and what it has stays the client's own", async () => {
  const shelf = new Shelf();
  const storage = new ShelfStorage(shelf);
  const it = client(server, { storage, user: "ada" });
  const room = it.channel("chat:later");
  const first = room.publish(1);
  assert.deepEqual(await first.stored, { durably: true });
  const errors = [];
  it.on("error", ({ name }) => errors.push(name));
  storage.failing = new Error("full");
  const second = room.publish(2);
  assert.deepEqual(await second.stored, { durably: false });
  const beside = new ShelfStorage(shelf);
  assert.deepEqual((await beside.open({ server: server.url, user: "ada" }, () => {})).map(([key]) => key), ["v"]);
  await beside.close();
  it.connect();
  await Promise.all([first, second]);
  assert.deepEqual(server.log("chat:later").map(({ data }) => data), [1, 2]);
  assert.deepEqual(errors, ["storage_failed"]);
});

test("without IndexedDB, as in Node, what is durable is kept in memory, and told so", async () => {
  const it = client(server, { storage: "durable", user: "ada" });
  const told = next(it, "error", ({ name }) => name === "storage_failed");
  it.connect();
  assert.match((await told).message, /there is no IndexedDB here/);
  await connected(it);
  assert.ok(await it.channel("chat:node").publish(1));
});

test("closing with `forget` erases whatever the client had come to, or says that it did not", async () => {
  const shelf = new Shelf();
  const storage = () => new ShelfStorage(shelf);
  const records = () => [...shelf.records([server.url, "eve"]).keys()].filter((key) => key.startsWith("e/"));
  const leave = async () => {
    const it = client(server, { storage: storage(), user: "eve" });
    const sending = it.channel("chat:forgotten").publish(1);
    const closed = rejection(sending);
    await sending.stored;
    await it.close();
    await closed;
    assert.notEqual(records().length, 0);
  };
  await leave();
  // Before it has opened anything.
  await client(server, { storage: storage(), user: "eve" }).close({ forget: true });
  assert.deepEqual(records(), []);
  await leave();
  // While it opens.
  const slow = storage();
  const open = slow.open.bind(slow);
  let answer;
  slow.open = async (...what) => {
    await new Promise((resolve) => (answer = resolve));
    return open(...what);
  };
  const opening = client(server, { storage: slow, user: "eve" });
  const closed = rejection(opening.channel("chat:forgotten").publish(4));
  await until(() => answer, "the open");
  const closing = opening.close({ forget: true });
  answer();
  await Promise.all([closing, closed]);
  assert.deepEqual(records(), []);
  await leave();
  // Nobody knows whose data it would be.
  assert.equal((await rejection(client(server, { storage: storage() }).close({ forget: true }))).name, "not_erased");
  // It fails.
  const broken = storage();
  broken.erase = () => Promise.reject(new Error("read only"));
  const told = await rejection(client(server, { storage: broken, user: "eve" }).close({ forget: true }));
  assert.equal(told.name, "not_erased");
  assert.match(told.message, /read only/);
  assert.notEqual(records().length, 0);
  // Without a durable storage there is nothing to erase.
  await client(server, {}).close({ forget: true });
});

test("options of the storage that make no sense are refused", () => {
  for (const options of [{ storage: "disk" }, { storage: {} }, { storage: null }, { user: 7 }, { storageTimeout: -1 }]) {
    assert.throws(() => client(server, options), { name: "invalid_option" });
  }
});
