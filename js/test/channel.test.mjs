// Channels: handles over one subscription, events, publish, history, presence.

import assert from "node:assert/strict";
import test from "node:test";
import { RealtimeClient } from "../dist/index.js";
import { silence } from "./support/server.mjs";
import { client, quick, serve } from "./support/setup.mjs";
import { connected, next, rejection, until } from "./support/waiting.mjs";

const server = await serve();
let named = 0;
const fresh = () => `chat:${(named += 1)}`;

const joined = async (it, name, options) => {
  const room = it.channel(name, options);
  const subscribed = next(room, "subscribed");
  await subscribed;
  return room;
};
/** A client that has joined a channel. */
const listening = async () => {
  const it = client(server);
  it.connect();
  const name = fresh();
  return { it, name, room: await joined(it, name) };
};

test("messages arrive in order with position, time and who sent them", async () => {
  const { name, room } = await listening();
  const seen = [];
  room.on("message", (message) => seen.push(message));
  const info = { user: "ada", client: "c1", conn_info: { name: "Ada" } };
  server.session.push({ channel: name, pub: { data: "slow", offset: 1, info, tags: { a: "b" }, time: 1700 } });
  server.session.push({ channel: name, pub: { data: null, offset: 2 } });
  server.session.send(...[3, 4, 5].map((offset) => ({ push: { channel: name, pub: { data: { offset }, offset } } })));
  await until(() => seen.length === 5, "five messages");
  assert.deepEqual(seen.map(({ offset }) => offset), [1, 2, 3, 4, 5]);
  assert.deepEqual(seen[0], {
    type: "message",
    id: "",
    state: "sent",
    data: "slow",
    epoch: "e1",
    offset: 1,
    time: 1700,
    info: { user: "ada", client: "c1", connInfo: { name: "Ada" }, chanInfo: null },
    tags: { a: "b" },
  });
  const bare = { type: "message", id: "", state: "sent", data: null, epoch: "e1", offset: 2, time: 0, info: null, tags: null };
  assert.deepEqual(seen[1], bare);
  for (const message of seen) assert.deepEqual(structuredClone(message), JSON.parse(JSON.stringify(message)));
});

test("handles of a channel share one subscription; the last one to leave ends it", async () => {
  const it = client(server, { linger: 30 });
  it.connect();
  const name = fresh();
  const one = await joined(it, name);
  const two = it.channel(name);
  const got = [];
  one.on("message", ({ data }) => got.push(["one", data]));
  two.on("message", ({ data }) => got.push(["two", data]));
  assert.equal(two.state.status, "subscribed");
  assert.equal(server.session.commands.filter(({ verb }) => verb === "subscribe").length, 1);
  server.publish(name, 1);
  await until(() => got.length === 2, "both handles");
  await one.leave();
  await one.leave();
  server.publish(name, 2);
  await until(() => got.length === 3, "the other handle");
  assert.deepEqual(got, [["one", 1], ["two", 1], ["two", 2]]);
  assert.equal(server.session.commands.filter(({ verb }) => verb === "unsubscribe").length, 0);
  two[Symbol.dispose ?? Symbol.for("Symbol.dispose")]();
  await until(() => server.session.commands.some(({ verb }) => verb === "unsubscribe"), "the unsubscribe");
  assert.throws(() => one.on("message", () => {}), { name: "unsubscribed" });
  assert.equal((await rejection(one.publish(1))).name, "unsubscribed");
});

test("leaving and joining in the same breath costs no traffic and loses nothing", async () => {
  const it = client(server);
  it.connect();
  const name = fresh();
  let room = await joined(it, name);
  const got = [];
  for (let at = 0; at < 50; at += 1) {
    room.leave();
    room = it.channel(name);
    room.on("message", ({ data }) => got.push(data));
  }
  server.publish(name, "once");
  await until(() => got.length > 0, "the message");
  await it.rpc("echo", 1);
  assert.deepEqual(got, ["once"]);
  const verbs = server.session.commands.map(({ verb }) => verb);
  assert.deepEqual(verbs.filter((verb) => verb !== "rpc"), ["connect", "subscribe"]);
});

test("a handle with other options is refused, by an error that says so", async () => {
  const it = client(server);
  it.connect();
  const name = fresh();
  await joined(it, name);
  const other = it.channel(name, { data: { a: 1 } });
  assert.throws(() => other.on("message", () => {}), { name: "options_conflict" });
  assert.throws(() => it.channel("ä"), { name: "invalid_channel" });
  assert.throws(() => it.channel(""), { name: "invalid_channel" });
});

test("subscription tokens are asked for by channel, and a forbidden one ends the subscription alone", async () => {
  const it = client(server);
  it.connect();
  const name = fresh();
  const asked = [];
  const room = await joined(it, name, {
    getToken: async ({ channel }) => {
      asked.push(channel);
      return "sub-token";
    },
  });
  assert.deepEqual(asked, [name]);
  assert.equal(server.session.commands.find(({ channel }) => channel === name).token, "sub-token");
  room.leave();
  const closed = it.channel(fresh(), {
    getToken() {
      throw Object.assign(new Error("no"), { name: "token_forbidden" });
    },
  });
  const { reason } = await next(closed, "unsubscribed");
  assert.match(reason.text, /no|forbidden/);
  assert.equal(it.state.status, "connected");
});

test("the server's refusal ends a subscription with its code", async () => {
  const it = client(server);
  it.connect();
  server.answers.subscribe = () => ({ error: { code: 103, message: "permission denied" } });
  const room = it.channel(fresh());
  const messages = room.messages();
  const { reason } = await next(room, "unsubscribed");
  assert.equal(reason.code, 103);
  assert.equal(room.state.status, "unsubscribed");
  const error = await rejection(messages.next());
  assert.deepEqual([error.name, error.code], ["unsubscribed", 103]);
  delete server.answers.subscribe;
});

test("what was missed in a cut arrives before what is new", async () => {
  const { it, name, room } = await listening();
  const got = [];
  room.on("message", ({ data }) => got.push(data));
  server.publish(name, 1);
  await until(() => got.length === 1, "the first");
  server.session.cut();
  await next(it, "state", ({ status }) => status === "connecting");
  server.publish(name, 2, { quietly: true });
  server.publish(name, 3, { quietly: true });
  const { wasRecovering, recovered } = await next(room, "subscribed");
  assert.deepEqual([wasRecovering, recovered], [true, true]);
  server.publish(name, 4);
  await until(() => got.length === 4, "all four");
  assert.deepEqual(got, [1, 2, 3, 4]);
});

test("a hole is repaired from history, and what is gone becomes one gap", async () => {
  const { name, room } = await listening();
  const got = [];
  room.on("message", ({ data }) => got.push(data));
  room.on("gap", ({ from, to, reason }) => got.push([from.offset, to.offset, reason]));
  server.publish(name, "a", { quietly: true });
  server.publish(name, "b", { quietly: true });
  server.publish(name, "c");
  await until(() => got.length === 3, "the repair");
  assert.deepEqual(got, ["a", "b", "c"]);
  const log = server.log(name);
  log.push({ data: "d", offset: 4 }, { data: "e", offset: 5 });
  log.splice(3, 2);
  log.length = 3;
  server.logs.set(name, [{ data: "f", offset: 6 }]);
  server.session.push({ channel: name, pub: { data: "f", offset: 6 } });
  await until(() => got.length === 5, "the gap");
  assert.deepEqual(got.slice(3), [[4, 5, "retention"], "f"]);
});

test("publish is acknowledged, and fails with one typed error", async () => {
  const it = client(server, { maxMessageBytes: 100, requestTimeout: 200 });
  const name = fresh();
  const room = it.channel(name);
  it.connect();
  const ack = await room.publish({ text: "hi" });
  assert.deepEqual(Object.keys(ack).sort(), ["duplicate", "epoch", "offset", "time"]);
  assert.deepEqual(server.log(name).map(({ data }) => data), [{ text: "hi" }]);
  assert.equal(room.state.status, "unsubscribed");
  const large = { name: "message_too_large", limit: { actual: 202, maximum: 100 } };
  assert.throws(() => room.publish("x".repeat(200)), large);
  for (const wrong of [undefined, () => 1, 1n, Symbol("s")]) {
    assert.throws(() => room.publish(wrong), { name: "invalid_payload" });
  }
  server.answers.publish = silence;
  assert.equal((await rejection(room.publish(1))).name, "outcome_unknown");
  server.answers.publish = () => ({ error: { code: 400, message: "not today" } });
  const refused = await rejection(room.publish(1));
  assert.deepEqual([refused.name, refused.code], ["application", 400]);
  assert.match(refused.message, /not today/);
  server.answers.publish = () => ({ epoch: "e1", offset: 7, time: 12 });
  assert.deepEqual(await room.publish(1), { epoch: "e1", offset: 7, time: 12, duplicate: false });
  delete server.answers.publish;
});

test("the queue of calls is bounded, and a full one says so", async () => {
  const it = client("ws://127.0.0.1:1/", { maxRequests: 10 });
  it.connect();
  const outcomes = Array.from({ length: 12 }, () => rejection(it.rpc("echo", 1)));
  const [eleventh, twelfth] = await Promise.all(outcomes.slice(10));
  assert.equal(eleventh.name, "queue_full");
  assert.equal(twelfth.retryable, true);
  it.disconnect();
  for (const error of await Promise.all(outcomes.slice(0, 10))) assert.equal(error.name, "disconnected");
});

test("history comes in pages, both ways", async () => {
  const it = client(server);
  it.connect();
  const name = fresh();
  for (let at = 1; at <= 5; at += 1) server.publish(name, at);
  const room = it.channel(name);
  const newest = await room.history({ limit: 2, reverse: true });
  assert.deepEqual(newest.messages.map(({ data }) => data), [5, 4]);
  assert.deepEqual(newest.position, { epoch: "e1", offset: 5 });
  const older = await newest.older();
  assert.deepEqual(older.messages.map(({ data }) => data), [3, 2]);
  assert.deepEqual((await older.older()).messages.map(({ data }) => data), [1]);
  assert.deepEqual((await older.newer()).messages.map(({ data }) => data), [4, 5]);
  const position = await room.history({ limit: 0 });
  assert.deepEqual([position.messages, position.position.offset], [[], 5]);
  const gone = await rejection(room.history({ since: { epoch: "old", offset: 1 }, limit: 1 }));
  assert.deepEqual([gone.name, gone.code], ["unrecoverable_position", 112]);
});

test("presence, its figures, and who comes and goes", async () => {
  const it = client(server);
  it.connect();
  const name = fresh();
  const room = await joined(it, name, { joinLeave: true });
  assert.deepEqual(await room.presence.get(), [
    { user: "ada", client: "a", connInfo: { name: "Ada" }, chanInfo: null },
  ]);
  assert.deepEqual(await room.presence.stats(), { clients: 2, users: 1 });
  const came = next(room, "joined");
  server.session.push({ channel: name, join: { info: { user: "bob", client: "b" } } });
  assert.deepEqual((await came).info, { user: "bob", client: "b", connInfo: null, chanInfo: null });
  const went = next(room, "left");
  server.session.push({ channel: name, leave: { info: { user: "bob", client: "b" } } });
  assert.equal((await went).info.user, "bob");
});

test("a channel that the server subscribed speaks through the client, until a handle joins it", async () => {
  const name = fresh();
  server.connectResult = { subs: { [name]: { recoverable: true, epoch: "e1", offset: 0 } } };
  const it = client(server);
  const heard = [];
  it.on("channel", ({ channel, event }) => heard.push([channel, event.type, event.data]));
  it.connect();
  await connected(it);
  server.session.push({ channel: name, pub: { data: "for you", offset: 1 } });
  await until(() => heard.some(([, type]) => type === "message"), "the message");
  assert.deepEqual(heard.at(-1), [name, "message", "for you"]);
  const room = it.channel(name);
  const got = next(room, "message");
  server.session.push({ channel: name, pub: { data: "for the handle", offset: 2 } });
  assert.equal((await got).data, "for the handle");
  server.connectResult = {};
});

test("a position from an earlier run is continued from", async () => {
  const name = fresh();
  for (let at = 1; at <= 3; at += 1) server.publish(name, at);
  const it = new RealtimeClient(server.url, quick);
  const room = it.channel(name, { since: { epoch: "e1", offset: 1 } });
  const got = [];
  room.on("message", ({ data }) => got.push(data));
  it.connect();
  await until(() => got.length === 2, "what was missed");
  assert.deepEqual(got, [2, 3]);
  await it.close();
});
