// Handlers that call back into the client, throw, or end it; payloads whose getters do. Nothing of it may corrupt
// the client, change the order of events, or be heard after the end.

import assert from "node:assert/strict";
import test from "node:test";
import { RealtimeClient } from "../dist/index.js";
import { client, quick, serve } from "./support/setup.mjs";
import { connected, next, until } from "./support/waiting.mjs";

const server = await serve();
let named = 0;
const fresh = () => `again:${(named += 1)}`;

/** A small generator of pseudo-random numbers, so that a failure can be replayed by its seed. */
const dice = (seed) => () => {
  seed = (seed * 1664525 + 1013904223) >>> 0;
  return seed / 2 ** 32;
};

test("calls made inside a handler are carried out after it, in order", async () => {
  const it = client(server);
  it.connect();
  const name = fresh();
  const room = it.channel(name);
  const got = [];
  const published = [];
  room.on("message", ({ data }) => {
    got.push(data);
    if (data === 0) for (let at = 1; at <= 3; at += 1) published.push(room.publish(at));
  });
  await next(room, "subscribed");
  server.publish(name, 0);
  await until(() => got.length === 4, "what the handler published");
  assert.deepEqual(got, [0, 1, 2, 3]);
  assert.equal((await Promise.all(published)).length, 3);
});

test("a fast message waits behind events that are on their way", async () => {
  const it = client(server);
  it.connect();
  const name = fresh();
  const room = it.channel(name);
  const got = [];
  room.on("message", ({ offset }) => got.push(offset));
  await next(room, "subscribed");
  const info = { user: "u", client: "c" };
  const lines = Array.from({ length: 20 }, (_, at) => ({
    push: at % 5 === 4 ? { channel: name, join: { info } } : { channel: name, pub: { data: at, offset: at + 1 - Math.floor((at + 1) / 5) } },
  }));
  server.session.send(...lines);
  await until(() => got.length === 16, "sixteen messages");
  assert.deepEqual(got, Array.from({ length: 16 }, (_, at) => at + 1));
});

test("a handler that throws harms nobody and is reported once", async () => {
  const it = client(server);
  it.connect();
  const name = fresh();
  const room = it.channel(name);
  const cause = new Error("mine");
  const reported = [];
  it.on("error", (error) => reported.push(error));
  const got = [];
  room.on("message", () => {
    throw cause;
  });
  room.on("message", ({ data }) => got.push(data));
  await next(room, "subscribed");
  server.publish(name, 1);
  server.publish(name, 2);
  await until(() => got.length === 2, "the other handler");
  const failed = reported.filter(({ name }) => name === "handler_failed");
  assert.deepEqual(failed.map((error) => error.cause), [cause, cause]);
});

test("no event comes after the undo, leave or close that a handler called", async (t) => {
  const it = new RealtimeClient(server.url, quick);
  t.after(() => it.close());
  it.connect();
  const name = fresh();
  const room = it.channel(name);
  const got = [];
  const undo = room.on("message", ({ data }) => {
    got.push(["undone", data]);
    undo();
  });
  room.on("message", ({ data }) => {
    got.push(["leaving", data]);
    if (data === 2) {
      room.leave();
      it.close();
    }
  });
  room.on("message", ({ data }) => got.push(["last", data]));
  await next(room, "subscribed");
  server.session.send(...[1, 2, 3].map((offset) => ({ push: { channel: name, pub: { data: offset, offset } } })));
  await until(() => it.state.status === "closed", "the end");
  assert.deepEqual(got, [["undone", 1], ["leaving", 1], ["last", 1], ["leaving", 2]]);
});

test("getters and toJSON of a payload may call the client", async () => {
  const it = client(server);
  it.connect();
  await connected(it);
  const name = fresh();
  const room = it.channel(name);
  const inner = [];
  const payload = {
    get text() {
      inner.push(room.publish("from a getter"));
      return "outer";
    },
    toJSON() {
      inner.push(room.publish("from toJSON"));
      return { text: this.text };
    },
  };
  await room.publish(payload);
  await Promise.all(inner);
  assert.deepEqual(server.log(name).map(({ data }) => data), ["from toJSON", "from a getter", { text: "outer" }]);
});

for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
  test(`handlers that do anything at any time, seed ${seed}`, async (t) => {
    const roll = dice(seed);
    const it = new RealtimeClient(server.url, { ...quick, linger: 5 });
    t.after(() => it.close());
    const names = [fresh(), fresh()];
    const order = new Map(names.map((name) => [name, 0]));
    const rooms = [];
    let closed = false;
    let budget = 400;
    const faults = [];
    const act = () => {
      assert.ok(!closed, "an event after the end");
      budget -= 1;
      if (budget <= 0) return;
      const name = names[Math.floor(roll() * names.length)];
      const pick = Math.floor(roll() * 9);
      if (pick === 0) listen(name);
      else if (pick === 1) rooms.shift()?.leave();
      else if (pick === 2) it.disconnect();
      else if (pick === 3) it.connect();
      else if (pick === 4) it.channel(name).publish(budget).catch(() => {});
      else if (pick === 5) server.session?.cut();
      else if (pick === 6) server.publish(name, budget);
      else if (pick === 7) it.rpc("echo", 1).then(act).catch(() => {});
      else throw new Error("a handler's own fault");
    };
    const listen = (name) => {
      const room = it.channel(name);
      rooms.push(room);
      let last;
      room.on("message", ({ offset }) => {
        if (last !== undefined && offset <= last) faults.push(`${name}: ${offset} after ${last}`);
        last = offset;
        order.set(name, offset);
        act();
      });
      for (const type of ["subscribed", "subscribing", "unsubscribed", "state", "gap"]) room.on(type, act);
    };
    it.on("error", () => {});
    it.on("state", act);
    const fatal = [];
    it.on("fatal", (error) => fatal.push(error));
    names.forEach(listen);
    it.connect();
    await until(() => {
      if (it.state.status === "disconnected") it.connect();
      if (rooms.length === 0) names.forEach(listen);
      for (const name of names) server.publish(name, "tick");
      return budget <= 0;
    }, "the handlers to tire", 20_000);
    // Afterwards it works as if nothing had been.
    it.connect();
    await connected(it);
    const room = it.channel(names[0]);
    room.on("message", () => {});
    await until(() => room.state.status === "subscribed", "the subscription");
    // A cut that a handler made may show only now: what was on its way then has no known outcome.
    assert.equal(await until(() => it.rpc("echo", "fine").catch(() => undefined), "an answer"), "fine");
    assert.deepEqual([faults, fatal], [[], []]);
    const over = it.close();
    await over;
    closed = true;
    server.publish(names[0], "too late");
    await new Promise((resolve) => setTimeout(resolve, 20));
  });
}
