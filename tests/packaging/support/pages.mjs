// Serves a consumer's folder under a strict policy, opens it in Chromium, and reads how it ended.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import { extname, join, normalize } from 'node:path';
import { chromium } from 'playwright-core';

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.mjs': 'text/javascript', '.wasm': 'application/wasm' };

/** What the package needs and nothing more. */
const POLICY = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self' ws://127.0.0.1:*";

/** Serves files of a folder on a free port. */
export const serve = async (folder, policy = POLICY) => {
  const server = http.createServer(async ({ url }, response) => {
    const path = normalize(new URL(url, 'http://page').pathname);
    const file = join(folder, path === '/' ? 'index.html' : path);
    try {
      const bytes = await readFile(file);
      const type = TYPES[extname(file)] ?? 'application/octet-stream';
      response.writeHead(200, { 'content-type': type, 'content-security-policy': policy }).end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { origin: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
};

let browser;
export const openBrowser = async () => {
  browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
};
export const closeBrowser = () => browser?.close();

/** Opens a page and waits until it has said something and read it back; gives the page's complaints otherwise. */
export const talksAt = async (origin, server, text) => {
  const tab = await browser.newPage();
  const trouble = [];
  tab.on('pageerror', (error) => trouble.push(error.stack));
  tab.on('console', (message) => {
    const { url } = message.location();
    // A browser asks for a page's icon unasked.
    if (message.type() === 'error' && !url.endsWith('/favicon.ico')) trouble.push(`${message.text()} (${url})`);
  });
  try {
    await tab.goto(`${origin}/?${new URLSearchParams({ server, text })}`);
    const ended = await tab
      .waitForFunction(() => /^(said|failed): /.test(document.title) && document.title, undefined, { timeout: 20_000 })
      .then((title) => title.jsonValue(), (error) => error.message);
    assert.equal(ended, `said: ${text}`, trouble.join('\n'));
    assert.deepEqual(trouble, []);
  } finally {
    await tab.close();
  }
};

/** The same for a folder, served for as long as that takes. */
export const talksFrom = async (folder, server, text) => {
  const served = await serve(folder);
  try {
    await talksAt(served.origin, server, text);
  } finally {
    served.close();
  }
};
