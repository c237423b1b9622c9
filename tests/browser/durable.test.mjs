// What a page has stored is sent, once and in order, whatever becomes of the page, the tab, the browser or the user;
// where nothing can be stored, the page says so and goes on in memory. Chromium, the npm package and Homing's server.

import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { bundle } from '../../js/scripts/build.mjs';
import { FaultProxy } from '../conformance/support/processes.mjs';
import { ChatServer, eventually, root } from './support/programs.mjs';
import { begin, errors, launch, launchOn, openTab, Reader, Site, write } from './support/writers.mjs';

let server;
let proxy;
let url;
let site;
let page;
let browser;
/** The package with a module that traps when it is asked to. */
let trapping;
const ending = [];
let rooms = 0;

before(async () => {
  [server, site, browser] = await Promise.all([ChatServer.start({ HOMING_CLIENT_ALLOWED_ORIGINS: '*' }), Site.start(), launch()]);
  await bundle(`${root}js/build/wasm`, `${root}js/build/trapping`, `${root}js/test/support/trapping.mjs`);
  trapping = await Site.start(`${root}js/build/trapping/`);
  proxy = await FaultProxy.start(server.address);
  url = `ws://${proxy.address}/connection/websocket`;
  page = `${site.origin}/page`;
});
afterEach(async () => {
  await proxy.tell('clear');
  for (const end of ending.splice(0).reverse()) await end();
});
after(async () => {
  await browser?.close();
  site?.stop();
  trapping?.stop();
  await proxy?.stop();
  await server?.kill();
});

/** A test whose waits all have an end: a page that hangs does not hang the suite. */
const check = (name, act) => test(name, { timeout: 60_000 }, act);

/** A browser that nobody has used, a channel and its reader. */
const scene = async () => {
  const context = await browser.newContext();
  ending.push(() => context.close());
  const channel = `chat:durable-${++rooms}`;
  const reader = await Reader.start(server.url, channel);
  ending.push(() => reader.stop());
  return { context, channel, reader };
};

/** A tab with `count` messages stored and nothing sent. */
const laden = async (context, channel, count, who = 'ada') => {
  await proxy.tell('down');
  const tab = await openTab(context, page);
  await begin(tab, url, who);
  assert.equal(await write(tab, channel, who, 1, count), true);
  return tab;
};

/** Lets the network work, slowly, until the reader has some of what comes, and not all. */
const halfway = async (reader, count) => {
  await proxy.tell('clear');
  await proxy.tell('delay 15');
  await reader.has(Math.floor(count / 5));
  assert.ok(reader.heard.length < count, 'the flush is under way');
};

check('a page that is reloaded in the middle of a flush goes on', async () => {
  const { context, channel, reader } = await scene();
  const tab = await laden(context, channel, 150);
  await halfway(reader, 150);
  await tab.reload();
  await tab.waitForFunction(() => document.title === 'ready');
  await begin(tab, url, 'ada');
  assert.equal(await write(tab, channel, 'ada', 151, 10), true);
  await reader.complete({ ada: 160 });
  assert.deepEqual(await errors(tab), []);
  await eventually(async () => (await tab.evaluate(() => client.outbox.size.count)) === 0, 'an empty outbox');
  const left = await tab.evaluate(() => records());
  assert.deepEqual(left.filter(([, , key]) => key.startsWith('e/')), []);
});

check('a renderer that is killed in the middle of a flush leaves everything to another tab', async () => {
  const { context, channel, reader } = await scene();
  const session = await browser.newBrowserCDPSession();
  const renderers = async () =>
    (await session.send('SystemInfo.getProcessInfo')).processInfo.filter(({ type }) => type === 'renderer').map(({ id }) => id);
  // A tab without a common ancestor has a process of its own.
  const other = await openTab(context, page);
  await begin(other, url, 'ada');
  const before = await renderers();
  const tab = await laden(context, channel, 150);
  const fresh = (await renderers()).filter((id) => !before.includes(id));
  assert.equal(fresh.length, 1);
  await halfway(reader, 150);
  const crashed = new Promise((resolve) => tab.once('crash', resolve));
  for (const id of fresh) process.kill(id, 'SIGKILL');
  await crashed;
  await reader.complete({ ada: 150 });
  assert.deepEqual(await errors(other), []);
});

check('a browser that is killed in the middle of a flush goes on when it is started again', async () => {
  const { channel, reader } = await scene();
  const profile = await mkdtemp(join(tmpdir(), 'homing-profile-'));
  ending.push(() => rm(profile, { recursive: true, force: true }));
  const context = await launchOn(profile);
  const tab = await laden(context, channel, 150);
  await halfway(reader, 150);
  const session = await context.browser().newBrowserCDPSession();
  const { processInfo } = await session.send('SystemInfo.getProcessInfo');
  const gone = new Promise((resolve) => context.once('close', resolve));
  for (const { id } of processInfo) {
    try {
      process.kill(id, 'SIGKILL');
    } catch {
      // It went with another one.
    }
  }
  await gone;
  const again = await launchOn(profile);
  ending.push(() => again.close());
  const next = await openTab(again, page);
  await begin(next, url, 'ada');
  await reader.complete({ ada: 150 });
  assert.deepEqual(await errors(next), []);
});

check('tabs write beside each other, each in its own order', async () => {
  const { context, channel, reader } = await scene();
  const tabs = await Promise.all(['one', 'two', 'three'].map(() => openTab(context, page)));
  for (const tab of tabs) await begin(tab, url, 'ada');
  await Promise.all(tabs.map((tab, at) => write(tab, channel, `tab ${at}`, 1, 60)));
  await reader.complete({ 'tab 0': 60, 'tab 1': 60, 'tab 2': 60 });
  for (const tab of tabs) assert.deepEqual(await errors(tab), []);
});

check('a duplicated tab is a producer of its own', async () => {
  const { context, channel, reader } = await scene();
  const tab = await openTab(context, page);
  await begin(tab, url, 'ada');
  await write(tab, channel, 'original', 1, 20);
  await tab.evaluate(() => sessionStorage.setItem('mark', 'copied'));
  const [copy] = await Promise.all([context.waitForEvent('page'), tab.evaluate((page) => void window.open(page), page)]);
  await copy.waitForFunction(() => document.title === 'ready');
  assert.equal(await copy.evaluate(() => sessionStorage.getItem('mark')), 'copied');
  await begin(copy, url, 'ada');
  await Promise.all([write(tab, channel, 'original', 21, 40), write(copy, channel, 'copy', 1, 60)]);
  await reader.complete({ original: 60, copy: 60 });
  const producers = (await tab.evaluate(() => records())).filter(([, , key]) => key.startsWith('p/'));
  assert.equal(producers.length, 2);
});

check("a dead tab's queue is adopted by one of the others, at once and whole", async () => {
  const { context, channel, reader } = await scene();
  const others = await Promise.all([openTab(context, page), openTab(context, page)]);
  for (const tab of others) await begin(tab, server.url, 'ada', { more: { storageName: 'shared' } });
  await proxy.tell('down');
  const tab = await openTab(context, page);
  await begin(tab, url, 'ada', { more: { storageName: 'shared' } });
  assert.equal(await write(tab, channel, 'ada', 1, 50), true);
  await tab.close();
  await reader.complete({ ada: 50 });
  const adopted = await Promise.all(others.map((other) => other.evaluate(() => added)));
  assert.deepEqual(adopted.map(({ length }) => length).sort(), [0, 50]);
  // What it was is over: the next one to come finds nothing, and leaves nothing.
  for (const other of others) await other.close();
  const last = await openTab(context, page);
  await begin(last, server.url, 'ada', { more: { storageName: 'shared' } });
  await eventually(async () => (await last.evaluate(() => records())).every(([, , key]) => !/^[pel]/.test(key)), 'an empty storage');
  assert.deepEqual(await last.evaluate(() => added), []);
});

check('nothing of one user leaves under another one, and it waits for the first to come back', async () => {
  const { context, channel, reader } = await scene();
  const ada = await laden(context, channel, 20);
  await ada.evaluate(() => client.close());
  await proxy.tell('clear');
  // The next one at this browser does not say who they are: the server does.
  const bob = await openTab(context, page);
  await begin(bob, url, undefined, { as: 'bob' });
  assert.equal(await write(bob, channel, 'bob', 1, 5), true);
  await reader.complete({ bob: 5 });
  // One who says to be Ada, and is not.
  const eve = await openTab(context, page);
  await begin(eve, url, 'ada', { as: 'eve', connect: false });
  assert.equal(await write(eve, channel, 'as ada', 1, 1), true);
  await eve.evaluate(() => client.connect());
  await eve.waitForFunction(() => errors.includes('wrong_user'));
  assert.equal(await write(eve, channel, 'eve', 1, 5), true);
  await reader.complete({ bob: 5, eve: 5 });
  await eve.close();
  await begin(ada, url, 'ada');
  await reader.complete({ bob: 5, eve: 5, ada: 20, 'as ada': 1 });
});

check('closing with `forget` erases what is stored of this user, and of no other', async () => {
  const { context, channel, reader } = await scene();
  const bob = await laden(context, channel, 5, 'bob');
  const ada = await laden(context, channel, 5);
  await ada.evaluate(() => client.close({ forget: true }));
  const left = await bob.evaluate(() => records());
  assert.ok(left.length > 0 && left.every(([, user]) => user === 'bob'), JSON.stringify(left));
  await proxy.tell('clear');
  await begin(ada, url, 'ada');
  await reader.complete({ bob: 5 });
  assert.equal(await write(ada, channel, 'ada', 1, 1), true);
  await reader.complete({ bob: 5, ada: 1 });
});

/** Falls back to memory with the typed error, and the messages go out all the same, once. */
const inMemory = async (tab, channel, reader, name, more = {}) => {
  await begin(tab, url, 'ada', { connect: false, ...more });
  assert.equal(await write(tab, channel, 'ada', 1, 5), false);
  await tab.evaluate(() => client.connect());
  await reader.complete({ ada: 5 });
  assert.deepEqual(await errors(tab), [name]);
};

check('a page whose storage is denied goes on in memory', async () => {
  const { context, channel, reader } = await scene();
  const outer = await context.newPage();
  await outer.goto(`${site.origin}/sandboxed`);
  const tab = outer.frames()[1];
  await tab.waitForFunction(() => document.title === 'ready');
  await inMemory(tab, channel, reader, 'storage_failed');
});

check('a page without Web Locks goes on in memory', async () => {
  const { context, channel, reader } = await scene();
  const tab = await openTab(context, `http://plain.test:${site.port}/page`);
  assert.equal(await tab.evaluate(() => navigator.locks), undefined);
  await inMemory(tab, channel, reader, 'storage_failed');
});

check('a page without IndexedDB goes on in memory', async () => {
  const { context, channel, reader } = await scene();
  const tab = await openTab(context, page);
  await tab.evaluate(() => Object.defineProperty(globalThis, 'indexedDB', { value: undefined }));
  await inMemory(tab, channel, reader, 'storage_failed');
});

check('records of a newer version are left alone', async () => {
  const { context, channel, reader } = await scene();
  const tab = await openTab(context, page);
  const theirs = [url, 'ada', 'e/p/0000000000000001', 'what a newer version wrote'];
  await tab.evaluate(async ([url, theirs]) => {
    await put(url, 'ada', 'v', '2');
    await put(...theirs);
  }, [url, theirs]);
  await inMemory(tab, channel, reader, 'storage_from_future');
  assert.deepEqual(await tab.evaluate(() => records()), [theirs, [url, 'ada', 'v', '2']]);
});

check('a database of a newer version is left alone', async () => {
  const { context, channel, reader } = await scene();
  const tab = await openTab(context, page);
  await tab.evaluate(async () => (await database(7)).close());
  await inMemory(tab, channel, reader, 'storage_from_future');
  assert.equal(await tab.evaluate(async () => (await indexedDB.databases())[0].version), 7);
});

check('a damaged record is told and kept, and the others are sent', async () => {
  const { context, channel, reader } = await scene();
  const tab = await laden(context, channel, 10);
  await tab.evaluate(() => client.close());
  const damaged = await tab.evaluate(async () => {
    const [[server, user, key]] = (await records()).filter(([, , key]) => key.startsWith('e/'));
    await put(server, user, key, '{"channel":"half a rec');
    return [server, user, key, '{"channel":"half a rec'];
  });
  await proxy.tell('clear');
  await begin(tab, url, 'ada');
  await reader.has(9);
  assert.deepEqual(reader.heard.map(({ n }) => n), [2, 3, 4, 5, 6, 7, 8, 9, 10]);
  assert.deepEqual(await errors(tab), ['storage_damaged']);
  await eventually(async () => {
    const left = (await tab.evaluate(() => records())).filter(([, , key]) => key.startsWith('e/'));
    assert.deepEqual(left, [damaged]);
    return true;
  }, 'the damaged record alone');
});

check('a full disk is told, and what is written goes on in memory, once', async () => {
  const { context, channel, reader } = await scene();
  const tab = await openTab(context, page);
  const session = await context.newCDPSession(tab);
  await session.send('Storage.overrideQuotaForOrigin', { origin: site.origin, quotaSize: 1000 });
  const said = tab.evaluate(() => new Promise((resolve) => (globalThis.heard = resolve)));
  await begin(tab, url, 'ada', { connect: false });
  await tab.evaluate(() => client.on('error', ({ message }) => heard(message)));
  assert.equal(await write(tab, channel, 'ada', 1, 5), false);
  assert.match(await said, /QuotaExceededError/);
  await tab.evaluate(() => client.connect());
  await reader.complete({ ada: 5 });
  assert.deepEqual(await errors(tab), ['storage_failed']);
});

check('a newer version of the app gets the database, and the page goes on in memory', async () => {
  const { context, channel, reader } = await scene();
  const tab = await openTab(context, page);
  await begin(tab, url, 'ada');
  assert.equal(await write(tab, channel, 'ada', 1, 3), true);
  const newer = await openTab(context, page);
  await newer.evaluate(async () => (await database(2)).close());
  assert.equal(await write(tab, channel, 'ada', 4, 3), false);
  await reader.complete({ ada: 6 });
  assert.deepEqual(await errors(tab), ['storage_failed']);
});

check('a module that traps in the middle of a flush is built anew: every message goes out once, every promise is kept', async () => {
  const { context, channel, reader } = await scene();
  await proxy.tell('down');
  const tab = await openTab(context, `${trapping.origin}/page`);
  await begin(tab, url, 'ada');
  assert.equal(await write(tab, channel, 'ada', 1, 150), true);
  await halfway(reader, 150);
  const trapped = await tab.evaluate(() => client.rpc('test:panic').catch(({ name }) => name));
  assert.equal(trapped, 'restarted');
  await reader.complete({ ada: 150 });
  await tab.waitForFunction(() => settled.length === 150);
  const settled = await tab.evaluate(() => globalThis.settled);
  assert.deepEqual(settled.filter((each) => typeof each !== 'boolean'), []);
  assert.deepEqual(await errors(tab), ['restarted']);
});

check('a trap in a callback of the browser, which no call of the page sees, is noticed all the same', async () => {
  const { context, channel, reader } = await scene();
  const tab = await openTab(context, page);
  // Told of the close before the module is.
  await tab.evaluate(() => {
    globalThis.WebSocket = class extends WebSocket {
      constructor(url) {
        super(url);
        this.addEventListener('close', () => globalThis.closing?.());
      }
    };
  });
  await begin(tab, url, 'ada', { more: { silenceSlack: 200 } });
  assert.equal(await write(tab, channel, 'ada', 1, 5), true);
  await reader.complete({ ada: 5 });
  // The clock fails while the module holds its state: whatever comes next finds it held.
  const failed = tab.waitForEvent('pageerror');
  await tab.evaluate(() => {
    globalThis.closing = () => {
      globalThis.closing = undefined;
      const { now } = performance;
      performance.now = () => {
        performance.now = now;
        throw new Error('no time');
      };
    };
  });
  await proxy.tell('cut');
  assert.match((await failed).message, /no time/);
  await tab.waitForFunction(() => errors.includes('restarted'));
  assert.equal(await write(tab, channel, 'ada', 6, 5), true);
  await reader.complete({ ada: 10 });
});
