// The loop over a channel's messages: history joined to live, the bounded buffer, its ends.

import assert from "node:assert/strict";
import test from "node:test";
import { client, serve } from "./support/setup.mjs";
import { connected, next, rejection, take, until, within } from "./support/waiting.mjs";

const server = await serve();
let named = 0;
const fresh = () => `loop:${(named += 1)}`;

/** A loop over a channel that is subscribed. */
const looping = async (options) => {
  const it = client(server);
  it.connect();
  const name = fresh();
  const room = it.channel(name);
  const messages = room.messages(options);
  await next(room, "subscribed");
  return { it, name, messages };
};

test("the newest messages of history join the live ones without a hole or a double", async () => {
  const name = fresh();
  for (let at = 1; at <= 10; at += 1) server.publish(name, at);
  const it = client(server);
  const room = it.channel(name);
  const messages = room.messages({ last: 3 });
  it.connect();
  // The eleventh overtakes the answer to the question for history.
  server.answers.history = (params, session) => {
    delete server.answers.history;
    const page = server.answer("history", params, session);
    server.publish(name, 11);
    return page;
  };
  assert.deepEqual((await take(messages, 4)).map(({ data }) => data), [8, 9, 10, 11]);
  server.publish(name, 12);
  assert.deepEqual((await take(messages, 1)).map(({ data }) => data), [12]);
  await messages.return();
});

test("messages that came before the loop began to read are kept", async () => {
  const { it, name, messages } = await looping();
  for (let at = 1; at <= 3; at += 1) server.publish(name, at);
  await it.rpc("echo", 1);
  assert.deepEqual((await take(messages, 3)).map(({ data }) => data), [1, 2, 3]);
});

test("a slow loop reads on from history, and misses nothing", async () => {
  const { it, name, messages } = await looping({ buffer: 4 });
  for (let at = 1; at <= 500; at += 1) server.publish(name, at);
  await it.rpc("echo", 1);
  const got = await take(messages, 500);
  assert.deepEqual(got.map(({ offset }) => offset), Array.from({ length: 500 }, (_, at) => at + 1));
  server.publish(name, "live again");
  assert.equal((await take(messages, 1))[0].data, "live again");
});

test("a slow loop is told in one gap what history has dropped", async () => {
  const { it, name, messages } = await looping({ buffer: 4 });
  for (let at = 1; at <= 100; at += 1) server.publish(name, at);
  await it.rpc("echo", 1);
  server.log(name).splice(0, 50);
  const got = await take(messages, 4 + 1 + 50);
  assert.deepEqual(got.slice(0, 4).map(({ offset }) => offset), [1, 2, 3, 4]);
  const [gap] = got.slice(4);
  assert.deepEqual([gap.type, gap.from.offset, gap.to.offset, gap.reason], ["gap", 5, 50, "lagged"]);
  assert.deepEqual(got.slice(5).map(({ offset }) => offset), Array.from({ length: 50 }, (_, at) => at + 51));
});

test("a loop ends with leave and close, and with its signal's reason", async () => {
  const it = client(server);
  it.connect();
  await connected(it);
  const one = it.channel(fresh());
  const left = one.messages().next();
  await one.leave();
  assert.deepEqual(await left, { value: undefined, done: true });

  const two = it.channel(fresh());
  const abort = new AbortController();
  const reason = new Error("enough");
  const aborted = rejection(two.messages({ signal: abort.signal }).next());
  abort.abort(reason);
  assert.equal(await aborted, reason);

  const closed = it.channel(fresh()).messages().next();
  await it.close();
  assert.deepEqual(await closed, { value: undefined, done: true });
});

test("a loop that is left by break stops listening", async () => {
  const it = client(server);
  it.connect();
  const name = fresh();
  const room = it.channel(name);
  const got = [];
  const loop = (async () => {
    for await (const { data } of room.messages()) {
      got.push(data);
      if (data === 2) break;
    }
  })();
  await next(room, "subscribed");
  for (let at = 1; at <= 4; at += 1) server.publish(name, at);
  await within(loop, "the loop's end");
  await until(() => server.log(name).length === 4, "all messages");
  assert.deepEqual(got, [1, 2]);
  assert.equal(room.state.status, "subscribed");
});

test("two loops over one handle see everything", async () => {
  const it = client(server);
  it.connect();
  const name = fresh();
  const room = it.channel(name);
  const [one, two] = [room.messages(), room.messages()];
  await next(room, "subscribed");
  server.publish(name, "both");
  assert.equal((await take(one, 1))[0].data, "both");
  assert.equal((await take(two, 1))[0].data, "both");
});
