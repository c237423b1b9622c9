// Where the module comes from: memoised, overridable, retried after a failure; errors that say what to do.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import test, { after } from "node:test";
import WebSocket from "ws";
import { serve } from "./support/setup.mjs";
import { connected, rejection } from "./support/waiting.mjs";

const dist = new URL("../dist/", import.meta.url);
const bytes = readFileSync(new URL("homing.wasm", dist));
let copies = 0;
/** A copy of the package that has loaded nothing yet. */
const fresh = (entry) => import(new URL(`${entry}.js?copy=${(copies += 1)}`, dist));
const slim = await fresh("slim");
const server = await serve();

const files = createServer((request, response) => {
  const answers = {
    "/homing.wasm": [200, "application/wasm", bytes],
    "/octets.wasm": [200, "application/octet-stream", bytes],
    "/page.wasm": [200, "text/html", "<!doctype html>"],
  };
  const [status, type, body] = answers[request.url] ?? [404, "text/plain", "nothing here"];
  response.writeHead(status, { "content-type": type }).end(body);
});
files.listen(0, "127.0.0.1");
await once(files, "listening");
after(() => files.close());
const base = `http://127.0.0.1:${files.address().port}`;

test("slim without a module says what to call, and sources that fail say why and can be tried again", async () => {
  const it = new slim.RealtimeClient(server.url, { WebSocket });
  it.on("error", () => {});
  const none = await rejection(it.rpc("echo", 1));
  assert.equal(none.name, "load_failed");
  assert.match(none.message, /init\(\{ url \}\)/);
  const cases = [
    [{ url: `${base}/missing.wasm` }, /missing\.wasm answered 404 \(text\/plain\)/],
    [{ url: `${base}/page.wasm` }, /answered 200 \(text\/html\) is not a WebAssembly module/],
    [{ url: "http://127.0.0.1:1/homing.wasm" }, /could not be fetched/],
    [{ url: new URL("homing.wasm", dist) }, /read the file and pass \{ bytes \}/],
    [{ bytes: bytes.subarray(0, 100) }, /the bytes/],
    [{ bytes: new Uint8Array(8) }, /not a WebAssembly module/],
    [{ response: fetch(`${base}/missing.wasm`) }, /answered 404/],
  ];
  for (const [source, text] of cases) {
    const error = await rejection(slim.init(source));
    assert.equal(error.name, "load_failed");
    assert.match(error.message, text);
  }
  await slim.load(`${base}/octets.wasm`);
  it.connect();
  await connected(it);
  assert.equal(await it.rpc("echo", 1), 1);
  await it.close();
});

test("a compiled module serves as a source, also as a client's option", async () => {
  const { RealtimeClient } = await import("../dist/slim.js");
  const it = new RealtimeClient(server.url, { WebSocket, module: { module: await WebAssembly.compile(bytes) } });
  it.connect();
  assert.equal(await it.rpc("echo", "module"), "module");
  await it.close();
});

test("loading is memoised: ten calls at once compile once", async () => {
  const script = `
    const compile = WebAssembly.compile;
    let compiled = 0;
    WebAssembly.compile = (bytes) => { compiled += bytes.byteLength > 50_000; return compile(bytes); };
    const { init } = await import(${JSON.stringify(String(new URL("index.js", dist)))});
    await Promise.all(Array.from({ length: 10 }, () => init()));
    await init();
    console.log(compiled);
  `;
  assert.equal(execFileSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" }).trim(), "1");
});

test("importing and making a client touches no global of a browser", () => {
  const script = `
    for (const name of ["window", "document", "navigator", "WebSocket", "fetch", "localStorage", "self"]) {
      Object.defineProperty(globalThis, name, { configurable: true, get() { throw new Error("touched " + name); } });
    }
    const { RealtimeClient, RealtimeError } = await import(${JSON.stringify(String(new URL("index.js", dist)))});
    const client = new RealtimeClient("ws://localhost/");
    client.channel("chat:x");
    console.log(client.state.status, typeof RealtimeError);
  `;
  const said = execFileSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
  assert.equal(said.trim(), "disconnected function");
});

test("a client that is disconnected before the module has loaded opens nothing", () => {
  const script = `
    const { RealtimeClient } = await import(${JSON.stringify(String(new URL("index.js", dist)))});
    let made = 0;
    const client = new RealtimeClient("ws://localhost/", { openSocket() { made += 1; throw new Error("none"); } });
    client.on("error", () => {});
    client.connect();
    client.disconnect();
    await client.rpc("echo", 1, { signal: AbortSignal.timeout(100) }).catch(() => {});
    console.log(made, client.state.status);
    await client.close();
  `;
  const said = execFileSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
  assert.equal(said.trim(), "0 disconnected");
});

test("a client keeps no process alive by itself, and a closed one lets it end", () => {
  const script = `
    const { RealtimeClient } = await import(${JSON.stringify(String(new URL("index.js", dist)))});
    const { default: WebSocket } = await import("ws");
    const client = new RealtimeClient(${JSON.stringify(server.url)}, { WebSocket });
    client.connect();
    setTimeout(() => client.close(), 200);
  `;
  execFileSync(process.execPath, ["--input-type=module", "-e", script], { timeout: 10_000, cwd: new URL(".", dist) });
});
