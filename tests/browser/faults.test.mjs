// A page with durable storage writes and reads under load while the network breaks in a seeded order, the page is
// reloaded and its renderer killed, and on Redis the server and Redis too: everything it stored is in the log once, in
// its order, where the acks say, and it has read the log without a hole. HOMING_SEED says in which order, SOAK_SECONDS
// how long.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { RealtimeClient } from 'homing';
import WebSocket from 'ws';
import { FaultProxy } from '../conformance/support/processes.mjs';
import { ChatServer, eventually, freePort, listens } from './support/programs.mjs';
import { launch, openTab, Site } from './support/writers.mjs';

const FAULTS = [
  'lose-acks 50', 'cut', 'reset', 'blackhole', 'half-close up', 'half-close down', 'delay 120', 'stall', 'down', 'reload page', 'kill page',
];
const CALM = 30;
const CHANNEL = 'chat:under-faults';
const seed = Number(process.env.HOMING_SEED ?? Date.now() % 1e9);
const soak = Number(process.env.SOAK_SECONDS ?? 0) * 1000;

/** A seeded dice. */
const dice = () => {
  let state = BigInt(seed);
  return (count) => {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
    return Number((state >> 33n) % BigInt(count));
  };
};

class Redis {
  async start() {
    this.folder ??= await mkdtemp(join(tmpdir(), 'homing-redis-'));
    this.port ??= await freePort();
    const kept = ['--save', '', '--appendonly', 'yes', '--appendfsync', 'always', '--dir', this.folder];
    this.child = spawn('redis-server', ['--port', this.port, '--bind', '127.0.0.1', ...kept], { stdio: 'ignore' });
    await eventually(() => listens(this.port), 'Redis');
    return this;
  }

  kill() {
    const gone = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGKILL');
    return gone;
  }

  async stop() {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** What runs in the page: one life of it. */
const live = ([url, channel, life]) => {
  const quick = { requestTimeout: 800, connectTimeout: 800, silenceSlack: 300, backoffFloor: 5, backoffBase: 20, backoffCap: 200 };
  const client = new globalThis.RealtimeClient(url, {
    storage: 'durable', user: 'ada', storageName: 'faults', data: { user: 'ada', info: { name: 'ada' } }, ...quick,
  });
  const room = client.channel(channel, { durable: true });
  room.on('message', ({ offset, data }) => globalThis.tell('heard', life, { offset, data }));
  room.on('gap', (gap) => globalThis.tell('gap', life, { reason: gap.reason, from: gap.from, to: gap.to }));
  client.on('error', ({ name }) => globalThis.tell('trouble', life, name));
  client.on('fatal', ({ name }) => globalThis.tell('trouble', life, `fatal ${name}`));
  client.connect();
  let [n, open] = [0, 0];
  const pace = setInterval(() => {
    if (open > 20) return;
    const data = { who: life, n: ++n };
    const sending = room.publish(data);
    open += 1;
    sending.stored.then(({ durably }) => globalThis.tell('stored', life, { ...data, durably }), () => {});
    sending.then(
      ({ offset, duplicate }) => globalThis.tell('acked', life, { ...data, offset, duplicate }),
      ({ name }) => globalThis.tell('failed', life, name),
    ).finally(() => (open -= 1));
  }, 10);
  globalThis.rest = () => {
    clearInterval(pace);
    return client.outbox.size.count;
  };
};

let browser;
let site;
before(async () => ([browser, site] = await Promise.all([launch(), Site.start()])));
after(async () => {
  await browser?.close();
  site?.stop();
});

const story = async (t, settings, faults, deaths) => {
  const roll = dice();
  const server = await ChatServer.start({ HOMING_CLIENT_ALLOWED_ORIGINS: '*', ...settings });
  t.after(() => server.kill());
  const proxy = await FaultProxy.start(server.address);
  t.after(() => proxy.stop());
  const context = await browser.newContext();
  t.after(() => context.close());

  const log = [];
  const client = new RealtimeClient(server.url, { WebSocket, data: { user: 'log', info: { name: 'log' } }, backoffFloor: 5, backoffBase: 20, backoffCap: 200 });
  t.after(() => client.close());
  const room = client.channel(CHANNEL);
  room.on('message', ({ offset, data }) => log.push({ offset, data }));
  room.on('gap', (gap) => log.push({ gap }));
  const subscribed = new Promise((resolve) => room.on('subscribed', resolve));
  client.connect();
  await subscribed;

  const told = { heard: [], gap: [], trouble: [], stored: [], acked: [], failed: [] };
  await context.exposeFunction('tell', (what, life, said) => void told[what].push({ life, said }));
  let lives = 0;
  const begin = async (tab) => {
    await tab.evaluate(async () => Object.assign(globalThis, await import('/dist/index.js')));
    await tab.evaluate(live, [proxy.url, CHANNEL, ++lives]);
  };
  let tab = await openTab(context, `${site.origin}/page`);
  await begin(tab);
  const more = (count, ms = 30_000) => {
    const goal = told.acked.length + count;
    return eventually(() => told.acked.length >= goal, `${count} more acks`, ms);
  };

  let count = 0;
  const end = Date.now() + soak;
  do {
    const round = [...faults];
    for (let at = round.length - 1; at > 0; at--) {
      const other = roll(at + 1);
      [round[at], round[other]] = [round[other], round[at]];
    }
    for (const fault of round) {
      await more(CALM);
      const moment = 100 + roll(400);
      if (fault === 'reload page') {
        await tab.reload();
        await tab.waitForFunction(() => document.title === 'ready');
        await begin(tab);
      } else if (fault === 'kill page') {
        const crashed = new Promise((resolve) => tab.once('crash', resolve));
        const session = await context.newCDPSession(tab);
        session.send('Page.crash').catch(() => {});
        await crashed;
        await tab.close();
        tab = await openTab(context, `${site.origin}/page`);
        await begin(tab);
      } else if (deaths[fault]) {
        await deaths[fault](server);
      } else {
        await proxy.tell(fault.startsWith('lose') ? `${fault} ${roll(1 << 30)}` : fault);
        // Until the load has come far in spite of it, or for the fault's own length.
        await more(10 * CALM, moment).catch(() => {});
        await proxy.tell('clear');
      }
      count += 1;
    }
  } while (Date.now() < end);

  await more(CALM);
  await eventually(() => tab.evaluate(() => globalThis.rest() === 0), 'an empty outbox', 30_000);
  const { offset: last } = await room.publish({ who: 0, n: 1 });
  await eventually(() => log.at(-1).offset === last, 'the whole log', 30_000);
  await eventually(() => told.heard.at(-1).said.offset === last, 'the page to have read it', 30_000);

  const { accepted } = JSON.parse(await proxy.tell('status'));
  const duplicates = told.acked.filter(({ said }) => said.duplicate).length;
  t.diagnostic(
    `${told.stored.length} publishes stored, ${told.acked.length} acks, ${duplicates} duplicates answered, ${log.length} in the log, ` +
      `${count} faults, ${accepted} connections, ${lives} pages, ${told.failed.length} of another end`,
  );
  assert.deepEqual([told.failed, told.gap, told.trouble], [[], [], []]);
  assert.deepEqual(log.map(({ offset }) => offset), log.map((_, at) => at + 1), 'the log has no hole and no gap');
  const key = ({ who, n }) => `${who}/${n}`;
  assert.equal(new Set(log.map(({ data }) => key(data))).size, log.length, 'nothing is there twice');
  const newest = new Map();
  for (const { data } of log) {
    assert.ok(data.n > (newest.get(data.who) ?? 0), `${key(data)} is behind ${newest.get(data.who)}`);
    newest.set(data.who, data.n);
  }
  const there = new Set(log.map(({ data }) => key(data)));
  assert.deepEqual(told.stored.filter(({ said }) => !said.durably || !there.has(key(said))), [], 'what was stored is in the log');
  for (const { said } of told.acked) assert.equal(key(log[said.offset - 1].data), key(said), 'an ack tells the truth');
  assert.ok(duplicates > 0, 'lost acks were asked for again');
  // A page that comes back goes on at or before what the one before it has had, and leaves nothing out.
  let before = { life: 0, offset: 0 };
  for (const { life, said } of told.heard) {
    if (life === before.life) assert.equal(said.offset, before.offset + 1, `life ${life}`);
    else assert.ok(said.offset <= before.offset + 1, `life ${life} left out ${before.offset} to ${said.offset}`);
    assert.deepEqual(said.data, log[said.offset - 1].data);
    before = { life, offset: said.offset };
  }
};

const told = (t, act) => {
  t.diagnostic(`HOMING_SEED=${seed}`);
  return act();
};
const timeout = 120_000 + 2 * soak;

test('a page under every fault of the network and its own deaths', { timeout }, (t) => told(t, () => story(t, {}, FAULTS, {})));

test('the same on Redis, with the server and Redis killed too', { timeout }, (t) =>
  told(t, async () => {
    const redis = await new Redis().start();
    t.after(() => redis.stop());
    const settings = { HOMING_ENGINE_TYPE: 'redis', HOMING_ENGINE_REDIS_ADDRESS: `redis://127.0.0.1:${redis.port}` };
    await story(t, settings, [...FAULTS, 'kill server', 'kill redis'], {
      'kill server': (server) => server.kill().then(() => server.start()),
      'kill redis': () => redis.kill().then(() => redis.start()),
    });
  }),
);
