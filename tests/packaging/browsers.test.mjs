// The packed package in pages: plain, in a worker, and through every bundler, unmodified and without plugins for
// WebAssembly, under a policy that forbids everything else. Each page talks to a real server.

import { after, before, test } from 'node:test';
import { join } from 'node:path';
import nodeResolve from '@rollup/plugin-node-resolve';
import * as esbuild from 'esbuild';
import { rollup } from 'rollup';
import * as vite from 'vite';
import webpack from 'webpack';
import { ChatServer } from '../browser/support/programs.mjs';
import { consumer, install, page } from './support/consumer.mjs';
import { closeBrowser, openBrowser, talksAt, talksFrom } from './support/pages.mjs';

let apps;
let server;
before(async () => {
  apps = install('browsers');
  [server] = await Promise.all([ChatServer.start(), openBrowser()]);
});
after(async () => {
  await closeBrowser();
  await server?.kill();
});

const MAIN = `
import { RealtimeClient } from "homing";
import { talkInPage } from "./talk.js";
void talkInPage(RealtimeClient);
`;

test('a plain script of type module', async () => {
  consumer(apps, 'plain', {
    'index.html': page('/plain/main.js'),
    'main.js': MAIN.replace('"homing"', '"/node_modules/homing/dist/index.js"'),
  });
  consumer(apps, '.', { 'index.html': page('/plain/main.js') });
  await talksFrom(apps, server.url, 'plain');
});

test('a plain script with the slim entry and the raw module', async () => {
  consumer(apps, 'slim', {
    'main.js': MAIN.replace('"homing"', '"/node_modules/homing/dist/slim.js"').replace(
      'talkInPage(RealtimeClient)',
      'talkInPage(RealtimeClient, { module: { url: "/node_modules/homing/dist/homing.wasm" } })',
    ),
  });
  consumer(apps, '.', { 'index.html': page('/slim/main.js') });
  await talksFrom(apps, server.url, 'slim');
});

test('a worker of type module', async () => {
  consumer(apps, 'worker', {
    'main.js': `
      const worker = new Worker("/worker/worker.js", { type: "module" });
      const { searchParams } = new URL(location.href);
      worker.onmessage = ({ data }) => { document.title = data; };
      worker.onerror = ({ message }) => { document.title = "failed: " + message; };
      worker.postMessage([searchParams.get("server"), searchParams.get("text")]);`,
    'worker.js': `
      import { RealtimeClient } from "/node_modules/homing/dist/index.js";
      import { talk } from "./talk.js";
      onmessage = ({ data: [server, text] }) =>
        talk(RealtimeClient, server, text).then((said) => postMessage("said: " + said), (error) => postMessage("failed: " + error.stack));`,
  });
  consumer(apps, '.', { 'index.html': page('/worker/main.js') });
  await talksFrom(apps, server.url, 'worker');
});

test('Vite, built', async () => {
  const folder = consumer(apps, 'vite', { 'index.html': page('/main.js'), 'main.js': MAIN });
  await vite.build({ root: folder, configFile: false, logLevel: 'error' });
  await talksFrom(join(folder, 'dist'), server.url, 'vite');
});

test('Vite, its development server', async () => {
  const folder = consumer(apps, 'vite-dev', { 'index.html': page('/main.js'), 'main.js': MAIN });
  const development = await vite.createServer({
    root: folder,
    configFile: false,
    logLevel: 'error',
    cacheDir: join(folder, 'cache'),
    server: { host: '127.0.0.1', port: 0 },
  });
  try {
    await development.listen();
    await talksAt(development.resolvedUrls.local[0].replace(/\/$/, ''), server.url, 'vite-dev');
  } finally {
    await development.close();
  }
});

test('Vite, the slim entry with the module as an asset', async () => {
  const folder = consumer(apps, 'vite-slim', {
    'index.html': page('/main.js'),
    'main.js': `
      import { RealtimeClient, load } from "homing/slim";
      import url from "homing/homing.wasm?url";
      import { talkInPage } from "./talk.js";
      await load(url);
      void talkInPage(RealtimeClient);`,
  });
  await vite.build({ root: folder, configFile: false, logLevel: 'error', build: { target: 'es2022' } });
  await talksFrom(join(folder, 'dist'), server.url, 'vite-slim');
});

for (const mode of ['production', 'development']) {
  test(`webpack, ${mode}`, async () => {
    const folder = consumer(apps, `webpack-${mode}`, { 'main.js': MAIN });
    const compiler = webpack({
      mode,
      // The default of development evaluates text, which the page's policy forbids for any package.
      devtool: false,
      context: folder,
      entry: './main.js',
      output: { path: join(folder, 'dist') },
      performance: { hints: false },
    });
    await new Promise((resolve, reject) => {
      compiler.run((error, stats) => {
        const { errors = [], warnings = [] } = stats?.toJson({ all: false, errors: true, warnings: true }) ?? {};
        const messages = [...errors, ...warnings].map(({ message }) => message);
        if (error ?? messages.length > 0) reject(error ?? new Error(messages.join('\n')));
        else compiler.close(resolve);
      });
    });
    consumer(folder, 'dist', { 'index.html': page('/main.js', 'defer') });
    await talksFrom(join(folder, 'dist'), server.url, `webpack-${mode}`);
  });
}

test('Rollup, which needs a plugin to find any package, and none for this one', async () => {
  const folder = consumer(apps, 'rollup', { 'main.js': MAIN });
  const warnings = [];
  const bundle = await rollup({
    input: join(folder, 'main.js'),
    plugins: [nodeResolve({ browser: true })],
    onwarn: ({ message }) => warnings.push(message),
  });
  await bundle.write({ dir: join(folder, 'dist'), format: 'es' });
  await bundle.close();
  if (warnings.length > 0) throw new Error(warnings.join('\n'));
  consumer(folder, 'dist', { 'index.html': page('/main.js') });
  await talksFrom(join(folder, 'dist'), server.url, 'rollup');
});

for (const format of ['esm', 'iife']) {
  test(`esbuild, as ${format}`, async () => {
    const folder = consumer(apps, `esbuild-${format}`, { 'main.js': MAIN });
    const { warnings } = await esbuild.build({
      entryPoints: [join(folder, 'main.js')],
      outfile: join(folder, 'dist/main.js'),
      bundle: true,
      minify: true,
      format,
      logLevel: 'silent',
    });
    if (warnings.length > 0) throw new Error(warnings.map(({ text }) => text).join('\n'));
    consumer(folder, 'dist', { 'index.html': page('/main.js', format === 'esm' ? 'type="module"' : 'defer') });
    await talksFrom(join(folder, 'dist'), server.url, `esbuild-${format}`);
  });
}
