// A module that panics: nothing enters that instance again, everything that it alone knew is rejected, and the client
// goes on with another one; the third time it is dead and says so. Others are not harmed.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import test, { after } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { bundle } from "../scripts/build.mjs";
import { silence } from "./support/server.mjs";
import { Shelf, ShelfStorage } from "./support/shelf.mjs";
import { client, quick, serve } from "./support/setup.mjs";
import { connected, next, rejection, until, within } from "./support/waiting.mjs";

const js = fileURLToPath(new URL("..", import.meta.url));
const dist = mkdtempSync(join(js, "build", "trapping-"));
after(() => rmSync(dist, { recursive: true, force: true }));
await bundle(join(js, "build", "wasm"), dist, join(js, "test", "support", "trapping.mjs"));
const { RealtimeClient } = await import(pathToFileURL(join(dist, "index.js")));
const server = await serve();

test("after a panic the client is built anew: calls are told, channels go on without a hole, messages come once", async () => {
  const it = client(server, {}, RealtimeClient);
  it.connect();
  await connected(it);
  const room = it.channel("chat:anew");
  const heard = [];
  room.on("message", ({ data }) => heard.push(data));
  room.on("gap", (gap) => heard.push(gap));
  const states = [];
  room.on("state", ({ status }) => states.push(status));
  const loop = room.messages();
  await until(() => room.state.status === "subscribed", "the subscription");
  server.publish("chat:anew", 1);
  server.publish("chat:anew", 2);
  await until(() => heard.length === 2, "the first messages");
  const { session } = server;
  const told = next(it, "error", ({ name }) => name === "restarted");
  server.answers.rpc = silence;
  const unanswered = rejection(it.rpc("echo", 1));
  const asked = rejection(it.channel("chat:elsewhere").presence.get());
  const sent = rejection(room.publish("sent"));
  const trapped = rejection(it.rpc("test:panic"));
  server.publish("chat:anew", 3, { quietly: true });
  const queued = it.rpc("echo", "queued");
  delete server.answers.rpc;
  assert.equal((await trapped).name, "restarted");
  assert.match((await trapped).message, /table of verbs/);
  assert.equal((await unanswered).name, "outcome_unknown");
  assert.equal((await sent).name, "outcome_unknown");
  assert.deepEqual([(await asked).name, (await asked).retryable], ["restarted", true]);
  assert.equal((await told).code, 48);
  await until(() => !session.open, "the end of the dead client's socket");
  assert.equal(await queued, "queued");
  server.publish("chat:anew", 4);
  await until(() => heard.length >= 5, "the rest");
  // The one of unknown outcome has arrived.
  assert.deepEqual(heard, [1, 2, 3, "sent", 4]);
  for (const expected of [1, 2, 3, "sent", 4]) assert.equal((await loop.next()).value.data, expected);
  assert.deepEqual(states.slice(-2), ["subscribing", "subscribed"]);
  assert.equal(server.live.filter((other) => other.channels.has("chat:anew")).length, 1);
  assert.equal(it.state.status, "connected");
  const second = it.channel("chat:anew");
  second.on("message", ({ data }) => heard.push(`second ${data}`));
  server.publish("chat:anew", 5);
  await until(() => heard.length >= 7, "both handles");
  assert.deepEqual(heard.slice(5).sort(), [5, "second 5"]);
  await room.leave();
  await second.leave();
  await until(() => server.session.commands.at(-1).verb === "unsubscribe", "the last handle's leave");
});

test("a client that was not connected is not after a panic either, and what was never sent says so", async () => {
  const it = client(server, {}, RealtimeClient);
  it.connect();
  await connected(it);
  it.disconnect();
  const before = server.sessions.length;
  const queued = rejection(it.channel("chat:x").publish("queued"));
  assert.equal((await rejection(it.rpc("test:panic"))).name, "restarted");
  assert.deepEqual([(await queued).name, (await queued).retryable], ["restarted", true]);
  assert.equal(it.state.status, "disconnected");
  it.connect();
  assert.equal(await it.rpc("echo", "again"), "again");
  assert.equal(server.sessions.length, before + 1);
});

test("what is in the storage outlives a panic, and so does the promise of it", async () => {
  const shelf = new Shelf();
  const it = client(server, { storage: new ShelfStorage(shelf), user: "ada" }, RealtimeClient);
  const room = it.channel("chat:kept");
  const sendings = [1, 2, 3].map((data) => room.publish(data));
  assert.deepEqual(await Promise.all(sendings.map(({ stored }) => stored)), Array(3).fill({ durably: true }));
  const early = room.publish(4);
  assert.equal((await rejection(it.rpc("test:panic"))).name, "restarted");
  const outcome = early.catch((error) => error.name);
  it.connect();
  const acks = await Promise.all(sendings);
  assert.deepEqual(acks.map(({ duplicate }) => duplicate), [false, false, false]);
  // It was on its way into the storage, and may have arrived there or not; but it is told.
  const told = await within(outcome, "the end of the fourth");
  const log = server.log("chat:kept").map(({ data }) => data);
  assert.deepEqual(log, told === "restarted" ? [1, 2, 3] : [1, 2, 3, 4]);
});

test("what belongs to the client before the panic does nothing to the one behind it", async () => {
  const it = client(server, { storage: new ShelfStorage(), user: "ada" }, RealtimeClient);
  const room = it.channel("chat:stale");
  const sending = room.publish("kept");
  await sending.stored;
  const [stale] = it.outbox.entries;
  const heard = [];
  const other = it.channel("chat:other");
  // It leaves while the client is down: its handle is of no meaning to the next one.
  it.on("error", () => void room.leave());
  room.on("message", ({ data }) => heard.push(data));
  other.on("message", ({ data }) => heard.push(data));
  it.connect();
  await connected(it);
  await sending;
  server.answers.rpc = silence;
  assert.equal((await rejection(it.rpc("test:panic"))).name, "restarted");
  delete server.answers.rpc;
  await until(() => other.state.status === "subscribed", "the other channel");
  assert.equal(room.state.status, "unsubscribed");
  assert.throws(() => stale.discard(), { name: "not_in_outbox" });
  assert.throws(() => stale.retry(), { name: "not_in_outbox" });
  server.publish("chat:stale", "not heard");
  server.publish("chat:other", "heard");
  await until(() => heard.includes("heard"), "the other channel's message");
  assert.ok(!heard.includes("not heard"));
});

test("the third panic within a minute rejects what is pending, is told once with its text, and ends the client", async () => {
  const it = client(server, {}, RealtimeClient);
  it.connect();
  await connected(it);
  for (const _ of [1, 2]) {
    assert.equal((await rejection(it.rpc("test:panic"))).name, "restarted");
    await connected(it);
    assert.equal(await it.rpc("echo", "alive"), "alive");
  }
  const { session } = server;
  const fatal = [];
  it.on("fatal", (error) => fatal.push(error));
  const loop = rejection(it.channel("chat:x").messages().next());
  server.answers.rpc = silence;
  const pending = Array.from({ length: 100 }, () => rejection(it.rpc("echo", 1)));
  const trapped = await rejection(it.rpc("test:panic"));
  delete server.answers.rpc;
  assert.equal(trapped.name, "panicked");
  assert.match(trapped.message, /table of verbs/);
  for (const error of await Promise.all(pending)) assert.equal(error.name, "outcome_unknown");
  assert.equal((await loop).name, "panicked");
  assert.equal(fatal.length, 1);
  assert.equal(it.state.status, "closed");
  await until(() => !session.open, "the socket's end");
  assert.equal((await rejection(it.rpc("echo", 1))).name, "panicked");
  assert.throws(() => it.connect(), { name: "panicked" });
  await within(it.close(), "a close of the dead client");
});

test("a panic inside a handler's call does not reach the handler's caller, and other clients go on", async () => {
  const well = client(server, {}, RealtimeClient);
  well.connect();
  await connected(well);
  const { session } = server;
  const it = client(server, {}, RealtimeClient);
  const room = it.channel("chat:y");
  let trapped;
  room.on("subscribed", () => {
    trapped ??= rejection(it.rpc("test:panic"));
  });
  it.connect();
  assert.equal((await next(it, "error")).name, "restarted");
  assert.equal((await trapped).name, "restarted");
  assert.equal(await it.rpc("echo", "again"), "again");
  assert.equal(await well.rpc("echo", "well"), "well");
  assert.ok(session.open);
  const anew = client(server, {}, RealtimeClient);
  anew.connect();
  assert.equal(await anew.rpc("echo", "anew"), "anew");
});

test("a client that is closing when it panics is closed", async () => {
  const it = client(server, {}, RealtimeClient);
  it.connect();
  await connected(it);
  server.answers.rpc = silence;
  const pending = rejection(it.rpc("echo", 1));
  const closed = it.close({ flush: 5000 });
  it.on("error", () => {});
  it.channel("chat:z").publish(1).catch(() => {});
  const trapped = rejection(it.rpc("test:panic"));
  delete server.answers.rpc;
  await within(closed, "the close");
  assert.equal((await pending).name, "outcome_unknown");
  assert.ok(await trapped);
  assert.equal(it.state.status, "closed");
});

test("a thousand clients leave nothing behind", async () => {
  const cycle = async () => {
    const it = new RealtimeClient(server.url, quick);
    const room = it.channel("chat:leak");
    room.on("message", () => {});
    it.connect();
    await it.rpc("echo", "x".repeat(2000));
    await it.close();
  };
  const rounds = async (count) => {
    for (let at = 0; at < count; at += 25) await Promise.all(Array.from({ length: 25 }, cycle));
  };
  await rounds(200);
  const before = globalThis.homingMemory.buffer.byteLength;
  await rounds(800);
  assert.equal(globalThis.homingMemory.buffer.byteLength, before);
  await until(() => server.live.length <= 3, "the sockets' end");
});
