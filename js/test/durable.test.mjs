// Durable channels: where a page continues after a reload, who says so, and how a gap is closed.

import assert from "node:assert/strict";
import test from "node:test";
import { client, serve } from "./support/setup.mjs";
import { Shelf, ShelfStorage } from "./support/shelf.mjs";
import { connected, next, until, within } from "./support/waiting.mjs";

const server = await serve();
let named = 0;
const fresh = () => `keep:${(named += 1)}`;

/** One life of a page: a client over what the shelf keeps. */
const life = (shelf) => {
  const it = client(server, { storage: new ShelfStorage(shelf), user: "ada", storageName: "s" });
  it.connect();
  return it;
};
const stored = (shelf, channel) => JSON.parse(shelf.records(["s", "ada"]).get(`o/${channel}`) ?? "null");
const reaches = (shelf, name, offset) => until(() => stored(shelf, name)?.offset === offset, `the stored offset ${offset}`);

/** A promise that the test settles. */
const latch = () => {
  let open;
  const promise = new Promise((resolve) => (open = resolve));
  return { promise, open };
};

test("after a reload the channel continues behind what listeners have processed, in order, before what is live", async () => {
  const shelf = new Shelf();
  const name = fresh();
  server.publish(name, "before the first visit");
  const first = life(shelf);
  const room = first.channel(name, { durable: true });
  const work = new Map();
  const seen = [];
  room.on("message", ({ data }) => {
    seen.push(data);
    work.set(data, latch());
    return work.get(data).promise;
  });
  await next(room, "subscribed");
  // The first visit is where it begins.
  await reaches(shelf, name, 1);
  for (const data of ["a", "b", "c"]) server.publish(name, data);
  await until(() => seen.length === 3, "three messages");
  work.get("b").open();
  work.get("a").open();
  await reaches(shelf, name, 3);
  await first.close();
  assert.equal(stored(shelf, name).offset, 3);

  server.publish(name, "d");
  const second = life(shelf);
  const again = second.channel(name, { durable: true });
  const got = [];
  again.on("message", ({ data }) => got.push(data));
  const { wasRecovering, missed } = await next(again, "subscribed");
  assert.deepEqual([wasRecovering, missed], [true, 2]);
  server.publish(name, "e");
  await until(() => got.length === 3, "what was missed");
  assert.deepEqual(got, ["c", "d", "e"]);
  await second.close();
  assert.equal(stored(shelf, name).offset, 6);
});

test("a listener that fails has processed its message, and the failure is told", async () => {
  const shelf = new Shelf();
  const it = life(shelf);
  const errors = [];
  it.on("error", (error) => errors.push(error));
  const room = it.channel(fresh(), { durable: true });
  room.on("message", async ({ data }) => {
    if (data === "bad") throw new Error("no such user");
  });
  await next(room, "subscribed");
  server.publish(room.name, "bad");
  await reaches(shelf, room.name, 1);
  assert.deepEqual([errors[0].name, errors[0].cause.message], ["handler_failed", "no such user"]);
});

test("a loop has processed a message when it asks for the next; the slowest reader counts", async () => {
  const shelf = new Shelf();
  const name = fresh();
  const it = life(shelf);
  const room = it.channel(name, { durable: true });
  const loop = room.messages({ buffer: 2 });
  const quick = [];
  it.channel(name, { durable: true }).on("message", ({ data }) => quick.push(data));
  await next(room, "subscribed");
  for (let at = 1; at <= 6; at += 1) server.publish(name, at);
  await until(() => quick.length === 6, "the quick reader");
  for (let at = 1; at <= 6; at += 1) {
    assert.equal((await within(loop.next(), `message ${at}`)).value.data, at);
    await it.rpc("echo", 1);
    assert.equal(stored(shelf, name)?.offset ?? 0, at - 1);
  }
  // It leaves in the midst of the sixth, which counts as not processed.
  await loop.return();
  await reaches(shelf, name, 6);
});

test("a loop that is left in the midst of a message gets it again in the next life", async () => {
  const shelf = new Shelf();
  const name = fresh();
  const it = life(shelf);
  const room = it.channel(name, { durable: true });
  const loop = room.messages();
  await next(room, "subscribed");
  server.publish(name, "done");
  server.publish(name, "interrupted");
  await loop.next();
  await loop.next();
  await it.close();
  const again = life(shelf).channel(name, { durable: true }).messages();
  assert.equal((await within(again.next(), "the message")).value.data, "interrupted");
});

test("with manual acks nothing else moves the position", async () => {
  const shelf = new Shelf();
  const name = fresh();
  const it = life(shelf);
  const room = it.channel(name, { durable: true, ack: "manual" });
  const heard = [];
  room.on("message", (message) => heard.push(message));
  const loop = room.messages();
  await next(room, "subscribed");
  for (const data of ["a", "b", "c"]) server.publish(name, data);
  await until(() => heard.length === 3, "three messages");
  assert.deepEqual(structuredClone(heard[0]).data, "a");
  for (let at = 0; at < 3; at += 1) await loop.next();
  await it.rpc("echo", 1);
  assert.equal(stored(shelf, name)?.offset ?? 0, 0);
  heard[1].ack();
  await reaches(shelf, name, 2);
  heard[0].ack();
  room.ack({ epoch: "e1", offset: 3 });
  await reaches(shelf, name, 3);
});

test("what retention has dropped is one gap, which `reload` closes while messages wait", async () => {
  const shelf = new Shelf();
  const name = fresh();
  const first = life(shelf);
  const room = first.channel(name, { durable: true });
  room.on("message", () => {});
  await next(room, "subscribed");
  server.publish(name, 1);
  await reaches(shelf, name, 1);
  await first.close();

  for (let at = 2; at <= 5; at += 1) server.publish(name, at);
  server.logs.set(name, server.log(name).slice(3));
  // The history begins at the fourth; the server says so.
  server.answers.subscribe = ({ channel }, session) => {
    session.channels.add(channel);
    return { recoverable: true, positioned: true, epoch: "e1", offset: 5, was_recovering: true, recovered: false };
  };
  const second = life(shelf);
  const told = [];
  const errors = [];
  second.on("error", (error) => errors.push(error));
  const reading = [];
  const again = second.channel(name, {
    durable: true,
    reload: (gap, { signal }) => {
      assert.equal(signal.aborted, false);
      told.push([gap.from.offset, gap.to.offset, gap.reason]);
      reading.push(latch());
      if (told.length === 1) throw new Error("the app's server is away");
      return reading.at(-1).promise;
    },
  });
  const got = [];
  again.on("message", ({ data }) => got.push(data));
  again.on("gap", () => got.push("gap"));
  await until(() => told.length === 2, "the second attempt");
  delete server.answers.subscribe;
  assert.deepEqual([errors[0].name, errors[0].cause.message], ["handler_failed", "the app's server is away"]);
  assert.deepEqual(told, [[2, 3, "retention"], [2, 3, "retention"]]);
  assert.deepEqual(got, ["gap"]);
  assert.equal(stored(shelf, name).offset, 1);
  reading[1].open();
  await until(() => got.length === 3, "what waited");
  assert.deepEqual(got, ["gap", 4, 5]);
  await reaches(shelf, name, 5);
});

test("a close erases everything if it is told to", async () => {
  const shelf = new Shelf();
  const it = life(shelf);
  await connected(it);
  it.disconnect();
  const room = it.channel(fresh(), { durable: true });
  const sending = room.publish("secret");
  sending.catch(() => {});
  await sending.stored;
  assert.ok(shelf.records(["s", "ada"]).size > 0);
  await it.close({ forget: true });
  assert.equal(shelf.records(["s", "ada"]).size, 0);
});
