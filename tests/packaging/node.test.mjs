// The packed package in Node: import, require, server-side rendering, nothing by itself.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import * as esbuild from 'esbuild';
import * as vite from 'vite';
import { ChatServer } from '../browser/support/programs.mjs';
import { consumer, here, install } from './support/consumer.mjs';

let apps;
let server;
before(async () => {
  apps = install('node');
  mkdirSync(join(apps, 'node_modules/ws'), { recursive: true });
  cpSync(join(here, 'node_modules/ws'), join(apps, 'node_modules/ws'), { recursive: true });
  server = await ChatServer.start();
});
after(() => server?.kill());

/** Runs a script to its end: one that keeps the process alive fails by the deadline. */
const run = async (folder, file) => {
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [join(folder, file), server.url], { cwd: folder, timeout: 20_000 });
  assert.equal(stderr, '');
  return stdout.trim();
};

test('import', async () => {
  const folder = consumer(apps, 'import', {
    'main.mjs': `
      import { RealtimeClient } from "homing";
      import WebSocket from "ws";
      import { talk } from "./talk.js";
      console.log(await talk(RealtimeClient, process.argv[2], "node import", { WebSocket }));`,
  });
  assert.equal(await run(folder, 'main.mjs'), 'node import');
});

const canRequire = Boolean(process.features.require_module);
test('require', { skip: canRequire ? false : 'this Node cannot require ES modules; 20.19 and 22.12 can' }, async () => {
  const folder = consumer(apps, 'require', {
    'package.json': '{ "type": "commonjs" }',
    'main.js': `
      process.removeAllListeners("warning");
      const { RealtimeClient } = require("homing");
      const WebSocket = require("ws");
      import("./talk.mjs").then(async ({ talk }) => {
        console.log(await talk(RealtimeClient, process.argv[2], "node require", { WebSocket }));
      });`,
    'talk.mjs': readFileSync(join(here, 'fixtures/talk.js'), 'utf8'),
  });
  assert.equal(await run(folder, 'main.js'), 'node require');
});

test('the slim entry with bytes', async () => {
  const folder = consumer(apps, 'slim', {
    'main.mjs': `
      import { readFileSync } from "node:fs";
      import { RealtimeClient, load } from "homing/slim";
      import WebSocket from "ws";
      import { talk } from "./talk.js";
      await load(readFileSync(new URL(import.meta.resolve("homing/homing.wasm"))));
      console.log(await talk(RealtimeClient, process.argv[2], "node slim", { WebSocket }));`,
  });
  assert.equal(await run(folder, 'main.mjs'), 'node slim');
});

test('importing does nothing by itself, and making a client neither', async () => {
  const folder = consumer(apps, 'quiet', {
    'main.mjs': `
      const before = Object.getOwnPropertyNames(globalThis).sort().join();
      let compiled = 0;
      for (const name of ["compile", "instantiate", "compileStreaming", "instantiateStreaming"]) {
        WebAssembly[name] = () => { compiled += 1; throw new Error(name); };
      }
      globalThis.fetch = () => { compiled += 1; throw new Error("fetch"); };
      const { RealtimeClient } = await import("homing");
      await import("homing/slim");
      const client = new RealtimeClient("ws://127.0.0.1:1");
      const room = client.channel("chat:quiet");
      console.log(compiled, client.state.status, room.state.status, Object.getOwnPropertyNames(globalThis).sort().join() === before);`,
  });
  assert.equal(await run(folder, 'main.mjs'), '0 disconnected unsubscribed true');
});

test('without a WebSocket, connect says what is missing', { skip: typeof WebSocket === 'function' && 'this Node has one' }, async () => {
  const folder = consumer(apps, 'socketless', {
    'main.mjs': `
      import { RealtimeClient } from "homing";
      try { new RealtimeClient("ws://127.0.0.1:1").connect(); } catch (error) { console.log(error.name, /\\bws\\b/.test(error.message)); }`,
  });
  assert.equal(await run(folder, 'main.mjs'), 'unsupported true');
});

test('a server-side build of Vite', async () => {
  const folder = consumer(apps, 'ssr', {
    'main.js': `
      import { RealtimeClient } from "homing";
      export const render = () => new RealtimeClient("ws://127.0.0.1:1").state.status;`,
    'run.mjs': 'import { render } from "./dist/main.js"; console.log(render());',
  });
  await vite.build({ root: folder, configFile: false, logLevel: 'error', build: { ssr: 'main.js' }, ssr: { noExternal: true } });
  assert.equal(await run(folder, 'run.mjs'), 'disconnected');
});

test('a bundle that uses nothing of it has nothing of it', async () => {
  const folder = consumer(apps, 'unused', { 'main.js': 'import { RealtimeClient } from "homing"; console.log("alone");' });
  const { outputFiles } = await esbuild.build({ entryPoints: [join(folder, 'main.js')], bundle: true, write: false, format: 'esm', minify: true, logLevel: 'silent' });
  assert.ok(outputFiles[0].contents.length < 200, `${outputFiles[0].contents.length} bytes are left`);
});
