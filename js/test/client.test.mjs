// The client as an app meets it: connecting, tokens, endpoints, calls, the end.

import assert from "node:assert/strict";
import test from "node:test";
import WebSocket from "ws";
import { ForbiddenError, RealtimeClient, RealtimeError } from "../dist/index.js";
import { silence } from "./support/server.mjs";
import { client, quick, serve } from "./support/setup.mjs";
import { connected, next, rejection, until, within } from "./support/waiting.mjs";

const server = await serve();

test("nothing happens before connect", async () => {
  let made = 0;
  const openSocket = (url) => {
    made += 1;
    return new WebSocket(url);
  };
  const it = client(server, { openSocket });
  assert.deepEqual(it.state, { status: "disconnected", reason: { code: 0, text: "not connected yet" } });
  it.channel("chat:x");
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(made, 0);
  it.connect();
  await connected(it);
  assert.equal(made, 1);
});

test("connect works before the module has loaded, and state is said once per change", async () => {
  const it = client(server);
  const seen = [];
  it.on("state", (state) => seen.push(state.status));
  it.connect();
  it.connect();
  assert.equal(it.state.status, "connecting");
  const state = await connected(it);
  assert.equal(state.server, "test");
  assert.ok(Object.isFrozen(state));
  assert.deepEqual(seen, ["connecting", "connected"]);
  it.disconnect();
  await until(() => it.state.status === "disconnected", "the end of the connection");
  assert.deepEqual(seen, ["connecting", "connected", "disconnected"]);
});

test("what the protocol does not allow is counted, and ends the connection", async () => {
  const it = client(server);
  const errors = [];
  it.on("error", (error) => errors.push(error.name));
  it.connect();
  for (let count = 1; count <= 2; count += 1) {
    await connected(it);
    assert.equal(it.protocolErrors, count - 1);
    server.session.push({ channel: "a", pub: { offset: -1, data: 0 } });
    await until(() => it.protocolErrors === count && it.state.status === "connecting", "the end of the connection");
  }
  assert.deepEqual(errors, ["protocol", "protocol"]);
});

test("wrong options are named at once", () => {
  const cases = [
    ["ftp://example.org", {}, /ws:\/\//],
    [[], {}, /at least one url/],
    ["ws://a", { linger: -1 }, /linger/],
    ["ws://a", { lingers: 1 }, /lingers/],
    ["ws://a", { token: 7 }, /token/],
    ["ws://a", { data: () => 1 }, /data/],
  ];
  for (const [url, options, text] of cases) {
    assert.throws(() => new RealtimeClient(url, options), (error) => {
      assert.match(error.message, text);
      return error instanceof RealtimeError && ["invalid_option", "invalid_payload"].includes(error.name);
    });
  }
});

test("without a WebSocket there is a typed error that says what to pass", { skip: typeof globalThis.WebSocket === "function" }, () => {
  const it = new RealtimeClient(server.url);
  assert.throws(() => it.connect(), { name: "unsupported", message: /package ws/ });
});

test("a cut connection comes back by itself, and says why it went", async () => {
  const it = client(server);
  it.connect();
  const { client: first } = await connected(it);
  server.session.cut();
  const lost = await next(it, "state", (state) => state.status === "connecting");
  assert.equal(lost.reason.code, 24);
  const state = await connected(it);
  assert.notEqual(state.client, first);
});

test("a terminal close code ends the connection with its reason, and connect starts anew", async () => {
  const it = client(server);
  it.connect();
  await connected(it);
  const told = next(it, "error");
  server.session.close(3503, "force disconnect");
  const state = await next(it, "state", (state) => state.status === "disconnected");
  assert.deepEqual(state.reason, { code: 3503, text: "force disconnect" });
  const { name, code, message } = await told;
  assert.deepEqual([name, code], ["closed_by_server", 3503]);
  assert.match(message, /force disconnect/);
  it.connect();
  await connected(it);
});

test("server pings are answered", async () => {
  const it = client(server);
  it.connect();
  await connected(it);
  const { session } = server;
  session.send({});
  await until(() => session.pongs === 1, "a pong");
});

test("endpoints are tried in order, and a resolver is asked before every attempt", async () => {
  const failover = new RealtimeClient(["ws://127.0.0.1:1/", server.url], quick);
  failover.on("error", () => {});
  failover.connect();
  await connected(failover);
  await failover.close();

  let asked = 0;
  const resolved = new RealtimeClient(
    async ({ signal }) => {
      assert.ok(signal instanceof AbortSignal);
      asked += 1;
      return asked === 1 ? Promise.reject(new Error("no region")) : `${server.url}?shard=${asked}`;
    },
    quick,
  );
  const errors = [];
  resolved.on("error", (error) => errors.push(error.name));
  resolved.connect();
  await connected(resolved);
  assert.deepEqual(errors, ["endpoint_failed"]);
  assert.match(server.paths.at(-1), /shard=2/);
  await resolved.close();
});

test("the token provider is asked for every connection, and again when the server calls the token expired", async () => {
  let made = 0;
  let refuse = true;
  server.answers.connect = ({ token }, session) => {
    assert.match(token, /^token-/);
    if (!refuse) return { client: session.client, version: "test" };
    refuse = false;
    return { error: { code: 109, message: "token expired" } };
  };
  const it = client(server, { getToken: () => `token-${(made += 1)}` });
  it.connect();
  await connected(it);
  assert.equal(made, 2);
  server.session.cut();
  await next(it, "state", (state) => state.status === "connecting");
  await connected(it);
  assert.equal(made, 3);
  delete server.answers.connect;
});

test("a forbidden user is not asked for again", async () => {
  let made = 0;
  const it = client(server, {
    getToken() {
      made += 1;
      throw new ForbiddenError("not you");
    },
  });
  it.connect();
  const state = await next(it, "state", (state) => state.status === "disconnected");
  assert.match(state.reason.text, /not you|token_forbidden/);
  assert.equal(made, 1);
});

test("a token for sixty days arms no timer that a browser fires at once", async () => {
  const SIXTY_DAYS = 60 * 24 * 3600;
  server.connectResult = { expires: true, ttl: SIXTY_DAYS };
  const armed = [];
  const real = globalThis.setTimeout;
  globalThis.setTimeout = (run, ms, ...rest) => {
    armed.push(ms);
    return real(run, Math.min(ms ?? 0, 0x7fffffff), ...rest);
  };
  try {
    const it = client(server, { getToken: () => "t" });
    it.connect();
    await connected(it);
    const before = armed.length;
    for (let at = 0; at < 20; at += 1) await it.rpc("echo", at);
    assert.ok(armed.every((ms) => ms === undefined || ms <= 0x7fffffff), String(armed));
    assert.ok(armed.length - before < 40, `${armed.length - before} timers`);
    assert.equal(server.session.commands.filter(({ verb }) => verb === "refresh").length, 0);
    await it.close();
  } finally {
    globalThis.setTimeout = real;
    server.connectResult = {};
  }
});

test("a call is answered, or rejects with one typed error", async () => {
  const it = client(server, { requestTimeout: 200 });
  it.connect();
  assert.deepEqual(await it.rpc("echo", { a: [1, "ä", null] }), { a: [1, "ä", null] });
  const unknown = await rejection(it.rpc("nothing"));
  assert.deepEqual([unknown.name, unknown.code, unknown.retryable], ["method_not_found", 104, false]);
  assert.ok(unknown instanceof RealtimeError && unknown instanceof Error);
  server.answers.rpc = silence;
  const late = await rejection(it.rpc("echo", 1));
  assert.equal(late.name, "outcome_unknown");
  delete server.answers.rpc;
  assert.equal((await rejection(it.rpc("echo", undefined, {}).then(() => Promise.reject(new Error("as null"))))).message, "as null");
  const cycle = {};
  cycle.self = cycle;
  assert.equal((await rejection(it.rpc("echo", cycle))).name, "invalid_payload");
  assert.equal((await rejection(it.send(1n))).name, "invalid_payload");
});

test("an abort rejects with the signal's reason, before and while a call is under way", async () => {
  const it = client(server);
  it.connect();
  await connected(it);
  const reason = new Error("changed my mind");
  assert.equal(await rejection(it.rpc("echo", 1, { signal: AbortSignal.abort(reason) })), reason);
  server.answers.rpc = silence;
  const abort = new AbortController();
  const call = it.rpc("echo", 1, { signal: abort.signal });
  const failed = rejection(call);
  abort.abort(reason);
  assert.equal(await failed, reason);
  delete server.answers.rpc;
  assert.equal(await it.rpc("echo", 2), 2);
});

test("a message of the server and one to the server arrive", async () => {
  const it = client(server);
  it.connect();
  await connected(it);
  const said = next(it, "message");
  server.session.push({ message: { data: { hello: 1 } } });
  assert.deepEqual(await said, { data: { hello: 1 } });
  await it.send({ a: 1 });
  await until(() => server.session.commands.some(({ verb, data }) => verb === "send" && data.a === 1), "the message");
});

test("close rejects what is pending, frees the socket and is final", async () => {
  const it = client(server);
  it.connect();
  await connected(it);
  const { session } = server;
  server.answers.rpc = silence;
  const calls = Array.from({ length: 100 }, () => rejection(it.rpc("echo", 1)));
  const closed = it.close();
  assert.equal(it.close(), closed);
  await within(closed, "the end");
  delete server.answers.rpc;
  // They were sent: nobody can know what became of them.
  for (const error of await Promise.all(calls)) assert.equal(error.name, "outcome_unknown");
  assert.equal(it.state.status, "closed");
  await until(() => !session.open, "the socket's end");
  assert.throws(() => it.connect(), { name: "closed" });
  assert.equal((await rejection(it.rpc("echo", 1))).name, "closed");
  it.disconnect();
});

test("close waits for calls under way as long as it is told to", async () => {
  const it = client(server);
  it.connect();
  await connected(it);
  const call = it.rpc("echo", "kept");
  await it.close({ flush: 5_000 });
  assert.equal(await call, "kept");
});

test("a client can be closed while the module loads, and by Symbol.asyncDispose", async () => {
  const early = new RealtimeClient(server.url, quick);
  early.connect();
  const call = rejection(early.rpc("echo", 1));
  await early.close();
  assert.equal((await call).name, "closed");
  const disposable = new RealtimeClient(server.url, quick);
  await disposable[Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose")]();
  assert.equal(disposable.state.status, "closed");
});

test("health worries only after a while", async () => {
  const it = client(server, { degradedAfter: 50, lostAfter: 120, backoffFloor: 200, backoffBase: 1 });
  const seen = [];
  it.on("health", (health) => seen.push(health));
  it.connect();
  await connected(it);
  server.session.cut();
  await until(() => seen.length === 3, "three changes of health");
  assert.deepEqual(seen, ["degraded", "lost", "ok"]);
  assert.equal(it.health, "ok");
});

test("a socket factory that throws counts as a failed attempt", async () => {
  let attempts = 0;
  const it = client(server, {
    openSocket(url) {
      attempts += 1;
      if (attempts === 1) throw "no sockets today";
      return new WebSocket(url);
    },
  });
  it.connect();
  await connected(it);
  assert.equal(attempts, 2);
});
