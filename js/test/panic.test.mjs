// A module that panics: the client is dead and says so, everything pending is rejected, nothing enters it again,
// others are not harmed.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import test, { after } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { bundle } from "../scripts/build.mjs";
import { silence } from "./support/server.mjs";
import { client, quick, serve } from "./support/setup.mjs";
import { connected, next, rejection, until, within } from "./support/waiting.mjs";

const js = fileURLToPath(new URL("..", import.meta.url));
const dist = mkdtempSync(join(js, "build", "trapping-"));
after(() => rmSync(dist, { recursive: true, force: true }));
await bundle(join(js, "build", "wasm"), dist, join(js, "test", "support", "trapping.mjs"));
const { RealtimeClient } = await import(pathToFileURL(join(dist, "index.js")));
const server = await serve();

test("a panic rejects what is pending, is told once with its text, and ends the client", async () => {
  const it = client(server, {}, RealtimeClient);
  it.connect();
  await connected(it);
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
  for (const error of await Promise.all(pending)) assert.equal(error.name, "panicked");
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
  const it = client(server, {}, RealtimeClient);
  const room = it.channel("chat:y");
  let trapped;
  room.on("subscribed", () => {
    trapped = rejection(it.rpc("test:panic"));
  });
  it.connect();
  const fatal = await next(it, "fatal");
  assert.equal(fatal.name, "panicked");
  assert.equal((await trapped).name, "panicked");
  assert.equal(await well.rpc("echo", "well"), "well");
  const anew = client(server, {}, RealtimeClient);
  anew.connect();
  assert.equal(await anew.rpc("echo", "anew"), "anew");
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
