// The outbox: what `publish` promises, what can be seen of it, and what an app can do to a message in it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import test from "node:test";
import { silence } from "./support/server.mjs";
import { client, serve } from "./support/setup.mjs";
import { connected, rejection, until, within } from "./support/waiting.mjs";

const server = await serve();
const nowhere = "ws://127.0.0.1:1/";
let named = 0;
const fresh = () => `out:${(named += 1)}`;

/** What a server with producers says of itself. */
const homing = {
  homing: { version: 1, capabilities: ["producers", "publish-position"], limits: { dedupe_window: 3600, in_flight: 16 }, user: "" },
};

test("a message has its id at once, is kept, and resolves with the acknowledgement", async () => {
  const it = client(server);
  const room = it.channel(fresh());
  const early = room.publish("before the module runs");
  assert.match(early.id, /^[\w-]{20}$/);
  it.connect();
  assert.deepEqual(await early.stored, { durably: false });
  await early;
  const later = room.publish("now");
  assert.match(later.id, /^[\w-]{20}$/);
  assert.notEqual(later.id, early.id);
  assert.deepEqual(Object.keys(await later).sort(), ["duplicate", "epoch", "offset", "time"]);
  assert.deepEqual(server.log(room.name).map(({ data }) => data), ["before the module runs", "now"]);
  assert.deepEqual(it.outbox.entries, []);
});

test("wrong use is thrown at the call with limit and actual value, and nothing is queued", async () => {
  for (const runs of [false, true]) {
    const it = client(nowhere, { maxMessageBytes: 20, maxOutbox: 2, maxOutboxBytes: 30 });
    if (runs) {
      it.connect();
      await assert.rejects(within(it.rpc("x", 1, { signal: AbortSignal.timeout(50) }), "the module"));
    }
    const room = it.channel(fresh());
    for (const wrong of [undefined, () => 1, 1n, Symbol("s")]) {
      assert.throws(() => room.publish(wrong), { name: "invalid_payload" });
    }
    assert.throws(() => room.publish("x".repeat(19)), {
      name: "message_too_large",
      limit: { actual: 21, maximum: 20 },
    });
    // Bytes count, not characters.
    assert.throws(() => room.publish("ä".repeat(10)), { limit: { actual: 22, maximum: 20 } });
    const kept = [room.publish("x".repeat(13))];
    assert.throws(() => room.publish("y".repeat(14)), { name: "queue_full", limit: { actual: 31, maximum: 30 } });
    kept.push(room.publish(1));
    assert.throws(() => room.publish(2), { name: "queue_full", limit: { actual: 3, maximum: 2 } });
    it.connect();
    await until(() => it.outbox.size.count === 2, "both in the outbox");
    assert.equal(it.outbox.size.bytes, 16);
    const ends = Promise.all(kept.map(rejection));
    await it.close();
    for (const error of await ends) assert.equal(error.name, "closed");
  }
});

test("what waits is seen with its age, can be edited and taken back, and leaves in order", async () => {
  const it = client(server);
  const room = it.channel(fresh());
  const changes = [];
  const undo = it.outbox.on("change", ({ type, entry }) => changes.push([type, entry.data, entry.state]));
  it.connect();
  await connected(it);
  it.disconnect();
  const before = Date.now();
  const [one, two, three] = ["one", "two", "three"].map((text) => room.publish(text));
  const cancelled = rejection(two);
  const entries = it.outbox.entries;
  assert.deepEqual(entries.map(({ id }) => id), [one.id, two.id, three.id]);
  const [{ channel, data, queuedAt, state, wasSent, reason }] = entries;
  assert.deepEqual([channel, data, state, wasSent, reason], [room.name, "one", "queued", false, null]);
  assert.ok(Math.abs(queuedAt - before) < 1000, `${queuedAt} is about ${before}`);
  const { count, bytes, oldestAge } = it.outbox.size;
  assert.deepEqual([count, bytes], [3, 17]);
  assert.ok(oldestAge >= 0 && oldestAge < 5000);
  it.outbox.find(one.id).edit("uno");
  it.outbox.find(two.id).discard();
  assert.equal((await cancelled).name, "cancelled");
  assert.throws(() => entries[1].edit("gone"), { name: "not_in_outbox" });
  assert.throws(() => entries[0].edit(undefined), { name: "invalid_payload" });
  assert.throws(() => entries[0].retry(), { name: "not_parked" });
  it.connect();
  await Promise.all([one, three]);
  assert.deepEqual(server.log(room.name).map(({ data }) => data), ["uno", "three"]);
  assert.equal(it.outbox.find(one.id), undefined);
  assert.deepEqual(changes.filter(([type]) => type !== "state"), [
    ["added", "one", "queued"],
    ["added", "two", "queued"],
    ["added", "three", "queued"],
    ["edited", "uno", "queued"],
    ["discarded", "two", "queued"],
    ["acked", "uno", "sending"],
    ["acked", "three", "sending"],
  ]);
  undo();
  const seen = changes.length;
  await room.publish("unseen");
  assert.equal(changes.length, seen);
});

test("a refused message is parked alone with its reason, and can be tried again or given up", async () => {
  const it = client(server);
  it.connect();
  await connected(it);
  const room = it.channel(fresh());
  server.answers.publish = ({ data, channel }) => {
    if (data === "bad") return { error: { code: 103, message: "not you" } };
    server.publish(channel, data);
    return {};
  };
  const refused = room.publish("bad");
  await Promise.all([rejection(refused), room.publish("good")]);
  const [entry] = it.outbox.entries;
  assert.deepEqual([entry.id, entry.state, entry.wasSent], [refused.id, "parked", true]);
  assert.deepEqual([entry.reason.name, entry.reason.code], ["permission_denied", 103]);
  assert.throws(() => entry.edit("better"), { name: "already_sent" });
  const again = entry.retry();
  assert.notEqual(again.id, refused.id);
  assert.equal((await rejection(again)).name, "permission_denied");
  assert.throws(() => entry.retry(), { name: "not_in_outbox" });
  const mended = it.outbox.find(again.id).retry("better");
  await mended;
  assert.deepEqual(it.outbox.entries, []);
  assert.equal((await rejection(room.publish("bad"))).code, 103);
  it.outbox.entries[0].discard();
  assert.equal(it.outbox.size.count, 0);
  assert.deepEqual(server.log(room.name).map(({ data }) => data), ["good", "better"]);
  delete server.answers.publish;
});

test("on a plain server an unknown outcome is never sent again, unless the app chose so", async () => {
  for (const resend of [false, true]) {
    const it = client(server, { resend });
    it.connect();
    const { capabilities, dedupeWindow } = await connected(it);
    assert.deepEqual([capabilities, dedupeWindow], [[], 0]);
    const room = it.channel(fresh());
    server.answers.publish = ({ channel, data }) => {
      delete server.answers.publish;
      server.publish(channel, data);
      return silence();
    };
    const sending = room.publish("once?");
    const outcome = resend ? sending : rejection(sending);
    await until(() => server.log(room.name).length === 1, "the publish at the server");
    server.session.cut();
    if (resend) await within(outcome, "the second sending");
    else assert.equal((await outcome).name, "outcome_unknown");
    await room.publish("next");
    const expected = resend ? ["once?", "once?", "next"] : ["once?", "next"];
    assert.deepEqual(server.log(room.name).map(({ data }) => data), expected);
    assert.equal(it.outbox.size.count, resend ? 0 : 1);
  }
});

test("a server with producers is told id, producer, session and number, the same ones again after a cut", async () => {
  server.connectResult = homing;
  const it = client(server);
  it.connect();
  const { capabilities, dedupeWindow } = await connected(it);
  assert.ok(capabilities.includes("producers"));
  assert.equal(dedupeWindow, 3_600_000);
  const room = it.channel(fresh());
  const stamps = [];
  server.answers.publish = ({ channel, data, homing: stamp }) => {
    stamps.push(stamp);
    if (stamps.length === 1) return silence();
    if (stamps.length === 2) server.publish(channel, data);
    return { epoch: "e1", offset: 1, time: 5, duplicate: true };
  };
  const sending = room.publish("once");
  await until(() => stamps.length === 1, "the publish");
  server.session.cut();
  assert.deepEqual(await sending, { epoch: "e1", offset: 1, time: 5, duplicate: true });
  const [first, second] = stamps;
  assert.deepEqual([first.id, first.number], [sending.id, 1]);
  assert.deepEqual({ ...second, session: 0 }, { ...first, session: 0 });
  assert.ok(second.session > first.session);
  server.connectResult = {};
  delete server.answers.publish;
});

test("an abort takes back what was not sent, and an ephemeral message is now or never", async () => {
  const it = client(server);
  it.connect();
  await connected(it);
  it.disconnect();
  const room = it.channel(fresh());
  const abort = new AbortController();
  const sending = room.publish("never mind", { signal: abort.signal });
  const reason = new Error("changed my mind");
  const ends = Promise.all([rejection(sending), rejection(room.publish(1, { ephemeral: true }))]);
  assert.equal(it.outbox.size.count, 1);
  abort.abort(reason);
  const [aborted, refused] = await ends;
  assert.equal(aborted, reason);
  assert.equal(refused.name, "not_sent");
  assert.equal(it.outbox.size.count, 0);
  const gone = AbortSignal.abort(reason);
  assert.equal(await rejection(room.publish(2, { signal: gone })), reason);
  it.connect();
  await connected(it);
  await room.publish("typing", { ephemeral: true });
  assert.deepEqual(server.log(room.name).map(({ data }) => data), ["typing"]);
});

test("what waits too long is parked, and can be retried", async () => {
  const it = client(server, { outboxAge: 30 });
  it.connect();
  await connected(it);
  it.disconnect();
  const room = it.channel(fresh());
  assert.equal((await rejection(room.publish("late"))).name, "outbox_expired");
  const [entry] = it.outbox.entries;
  assert.deepEqual([entry.state, entry.wasSent, entry.reason.retryable], ["parked", false, true]);
  it.connect();
  await connected(it);
  await entry.retry();
  assert.deepEqual(server.log(room.name).map(({ data }) => data), ["late"]);
});

test("a server that has lost acknowledged messages is told of, on the client and on the channel", async () => {
  server.connectResult = homing;
  const it = client(server);
  it.connect();
  await connected(it);
  const name = fresh();
  const room = it.channel(name);
  const [told, heard] = [[], []];
  it.on("acked_lost", (event) => told.push(event));
  room.on("acked_lost", (event) => heard.push(event));
  let expects = 1;
  server.answers.publish = ({ homing: { number } }) => {
    if (number !== expects) {
      return { error: { code: 302, message: "out of order", homing: { expected: expects } , expected: expects } };
    }
    expects += 1;
    return { epoch: "e1", offset: number, time: Date.now() };
  };
  await room.publish("a");
  await room.publish("b");
  // The record of the second one is gone.
  expects = 2;
  await room.publish("c");
  assert.deepEqual(told, [
    { type: "acked_lost", channel: name, count: 1, from: { epoch: "e1", offset: 2 }, to: { epoch: "e1", offset: 2 } },
  ]);
  assert.deepEqual(heard, told);
  server.connectResult = {};
  delete server.answers.publish;
});

test("a rejected `stored` harms nobody, an unhandled publish is reported as any promise is", async () => {
  const run = async (script) => {
    const url = new URL("../dist/index.js", import.meta.url).href;
    const program = `
      import { RealtimeClient } from ${JSON.stringify(url)};
      const client = new RealtimeClient("ws://127.0.0.1:1/", { WebSocket: class { close() {} } });
      client.on("error", () => {});
      const room = client.channel("a");
      ${script}
    `;
    const child = spawn(process.execPath, ["--input-type=module", "-e", program], { stdio: "ignore" });
    const [code] = await once(child, "exit");
    return code;
  };
  assert.equal(await run("room.publish(1).catch(() => {}); await client.close();"), 0);
  assert.equal(await run("room.publish(1); await client.close(); await new Promise((done) => setTimeout(done, 50));"), 1);
});

test("a publish on a handle that was left, or on a closed client, rejects", async () => {
  const it = client(server);
  const room = it.channel(fresh());
  room.on("message", () => {});
  await room.leave();
  const left = room.publish(1);
  assert.equal((await rejection(left)).name, "unsubscribed");
  assert.equal((await rejection(left.stored)).name, "unsubscribed");
  const other = it.channel(fresh());
  await it.close();
  assert.equal((await rejection(other.publish(1))).name, "closed");
});
