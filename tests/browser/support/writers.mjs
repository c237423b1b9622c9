// Pages that write with durable storage, on a site of their own, and a reader that knows what must have arrived.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { basename } from 'node:path';
import { RealtimeClient } from 'homing';
import { chromium } from 'playwright-core';
import WebSocket from 'ws';
import { eventually, root } from './programs.mjs';

const script = `
  import { RealtimeClient } from '/dist/index.js';
  globalThis.begin = (url, user, options = {}) => {
    const client = new RealtimeClient(url, {
      storage: 'durable', user, data: { user: options.as ?? user, info: { name: 'writer' } }, backoffFloor: 5, backoffBase: 20, backoffCap: 200, ...options.more,
    });
    Object.assign(globalThis, { client, errors: [], added: [], settled: [] });
    client.on('error', ({ name }) => errors.push(name));
    client.on('fatal', ({ name }) => errors.push('fatal ' + name));
    client.outbox.on('change', ({ type, entry }) => type === 'added' && added.push(entry.data.n));
    if (options.connect !== false) client.connect();
  };
  globalThis.write = async (channel, who, from, count) => {
    const room = client.channel(channel);
    const sendings = Array.from({ length: count }, (_, at) => room.publish({ who, n: from + at }));
    for (const sending of sendings) sending.then(({ duplicate }) => settled.push(duplicate), ({ name }) => settled.push(name));
    const stored = await Promise.all(sendings.map(({ stored }) => stored));
    return stored.every(({ durably }) => durably);
  };
  globalThis.database = (version) => new Promise((resolve, reject) => {
    const request = indexedDB.open('homing', version);
    request.onupgradeneeded = () => request.result.objectStoreNames.contains('records') || request.result.createObjectStore('records');
    request.onerror = () => reject(request.error);
    request.onsuccess = () => resolve(request.result);
  });
  globalThis.records = async () => {
    const db = await database();
    const store = db.transaction('records').objectStore('records');
    const [keys, values] = [store.getAllKeys(), store.getAll()];
    await new Promise((resolve) => (store.transaction.oncomplete = resolve));
    db.close();
    return keys.result.map((key, at) => [...key, values.result[at]]);
  };
  globalThis.put = async (server, user, key, value) => {
    const db = await database();
    const store = db.transaction('records', 'readwrite').objectStore('records');
    store.put(value, [server, user, key]);
    await new Promise((resolve) => (store.transaction.oncomplete = resolve));
    db.close();
  };
  document.title = 'ready';
`;

/** A site with the package. `/sandboxed` is a page whose storage is denied. */
export class Site {
  static async start(dist = `${root}js/dist/`) {
    const site = new Site();
    site.server = createServer(async (request, response) => {
      const path = new URL(request.url, 'http://page').pathname;
      const send = (type, body) => response.writeHead(200, { 'content-type': type, 'access-control-allow-origin': '*' }).end(body);
      if (path.startsWith('/dist/')) send('text/javascript', await readFile(dist + basename(path)));
      else if (path === '/sandboxed') send('text/html', '<!doctype html><iframe sandbox="allow-scripts" src="/page"></iframe>');
      else send('text/html', `<!doctype html><script type="module">${script}</script>`);
    });
    site.server.listen(0, '127.0.0.1');
    await once(site.server, 'listening');
    site.port = site.server.address().port;
    site.origin = `http://127.0.0.1:${site.port}`;
    return site;
  }

  stop() {
    this.server.closeAllConnections();
    this.server.close();
  }
}

/** On http://plain.test a page is no secure context; without a spare renderer a new one is that of the new tab. */
const settings = {
  executablePath: '/usr/bin/chromium',
  args: ['--no-sandbox', '--host-resolver-rules=MAP plain.test 127.0.0.1', '--disable-features=SpareRendererForSitePerProcess'],
};
export const launch = () => chromium.launch(settings);
export const launchOn = (profile) => chromium.launchPersistentContext(profile, settings);

/** A tab whose script has run. */
export const openTab = async (context, address) => {
  const tab = await context.newPage();
  await tab.goto(address);
  await tab.waitForFunction(() => document.title === 'ready');
  return tab;
};

export const begin = (tab, ...given) => tab.evaluate((given) => globalThis.begin(...given), given);
export const write = (tab, ...given) => tab.evaluate((given) => globalThis.write(...given), given);
export const errors = (tab) => tab.evaluate(() => globalThis.errors);

/** Reads a channel from its beginning, live. */
export class Reader {
  static async start(url, channel) {
    const reader = new Reader();
    reader.heard = [];
    reader.client = new RealtimeClient(url, { WebSocket, data: { user: 'reader', info: { name: 'reader' } } });
    const room = reader.client.channel(channel);
    room.on('message', ({ data }) => reader.heard.push(data));
    room.on('gap', (gap) => reader.heard.push({ gap }));
    const subscribed = new Promise((resolve) => room.on('subscribed', resolve));
    reader.client.connect();
    await subscribed;
    return reader;
  }

  /** Waits until so many came. */
  async has(count) {
    await eventually(() => this.heard.length >= count, `${count} messages`, 30_000).catch((error) => {
      throw new Error(`${error.message}; ${this.heard.length} came: ${JSON.stringify(this.heard.slice(-5))}`);
    });
  }

  /** Everything has come, once, and of each writer in its order. */
  async complete(expected) {
    const count = Object.values(expected).reduce((sum, each) => sum + each, 0);
    await this.has(count);
    for (const [who, last] of Object.entries(expected)) {
      assert.deepEqual(
        this.heard.filter((data) => data.who === who).map(({ n }) => n),
        Array.from({ length: last }, (_, at) => at + 1),
        `of ${who}`,
      );
    }
    assert.equal(this.heard.length, count);
  }

  stop() {
    return this.client.close();
  }
}
