// What survives a broken network and a server that goes away, and what is told where it does not.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FaultProxy, plain, Server } from '../support/processes.mjs';
import { client, connected, count, data, fresh, heard, reached, subscribed, token, until } from './support/clients.mjs';

// A server, a client behind a proxy that breaks, and a writer on a sound link.
const broken = async (t, flags, options) => {
  const server = await Server.start(flags);
  t.after(() => server.kill());
  const proxy = await FaultProxy.start(server.address);
  t.after(() => proxy.stop());
  const reader = await connected(t, proxy.url, { token: token({ sub: 'reader' }), silenceSlack: 500, ...options });
  const writer = await connected(t, server.url, { token: token({ sub: 'writer' }) });
  return { server, proxy, reader, writer };
};

const away = async (room, proxy, fault = 'down') => {
  const lost = heard(room, 'subscribing');
  await proxy.tell(fault);
  await lost;
};

for (const fault of ['down', 'cut']) {
  test(`what was published while the network was gone arrives in order (${fault})`, async (t) => {
    const { proxy, reader, writer } = await broken(t);
    const room = await subscribed(reader, fresh('chat'));
    const out = writer.channel(room.name);
    for (const n of count(1, 3)) await out.publish(n);
    await until(room, 'message', () => room.received.length === 3, 'the first three');
    if (fault === 'cut') await proxy.tell('cut');
    await away(room, proxy);
    for (const n of count(4, 40)) await out.publish(n);
    const back = heard(room, 'subscribed');
    await proxy.tell('clear');
    const { wasRecovering, recovered } = await back;
    assert.deepEqual([wasRecovering, recovered], [true, true]);
    await out.publish(41);
    await until(room, 'message', () => room.received.length >= 41, 'all of them');
    assert.deepEqual(data(room), count(1, 41));
    assert.deepEqual(room.received.map(({ offset }) => offset), count(1, 41));
    assert.deepEqual(room.gaps, []);
  });
}

test('more missed than one recovery brings is read from history, and nothing is lost', async (t) => {
  const { proxy, reader, writer } = await broken(t);
  const room = await subscribed(reader, fresh('long'));
  const out = writer.channel(room.name);
  await out.publish(1);
  await until(room, 'message', () => room.received.length === 1, 'the first');
  await away(room, proxy);
  await Promise.all(count(2, 900).map((n) => out.publish(n)));
  await proxy.tell('clear');
  await heard(room, 'subscribed');
  await out.publish(901);
  await until(room, 'message', () => room.received.length >= 901, 'all of them');
  assert.deepEqual(data(room), count(1, 901));
  assert.deepEqual(room.gaps, []);
});

test('publications that flow during reconnects arrive once each, in order', async (t) => {
  const { proxy, reader, writer } = await broken(t);
  const room = await subscribed(reader, fresh('chat'));
  const out = writer.channel(room.name);
  const total = 240;
  for (const n of count(1, total)) {
    await out.publish(n);
    // Every second time the writer goes on while the reader is still away.
    if (n % 80 === 40) await proxy.tell('reset');
    if (n % 80 === 0) {
      const back = heard(room, 'subscribed');
      await proxy.tell('reset');
      await back;
    }
  }
  await until(room, 'message', () => room.received.length >= total, 'all of them');
  assert.deepEqual(data(room), count(1, total));
  assert.deepEqual(room.gaps, []);
});

test('a connection whose bytes vanish is given up and made anew', async (t) => {
  const { proxy, reader, writer } = await broken(t, { ping: '1s', pong: '500ms' });
  const room = await subscribed(reader, fresh('chat'));
  const lost = heard(reader, 'state', (state) => state.status === 'connecting');
  await proxy.tell('blackhole');
  await writer.channel(room.name).publish('in the dark');
  await lost;
  await proxy.tell('clear');
  await until(room, 'message', () => room.received.length === 1, 'the one of the dark');
  assert.deepEqual(data(room), ['in the dark']);
  assert.deepEqual(room.gaps, []);
});

test('what history has dropped is one gap with its range, before anything newer', async (t) => {
  const { proxy, reader, writer } = await broken(t);
  const name = fresh('short');
  const room = reader.channel(name);
  const seen = [];
  room.on('message', ({ offset }) => seen.push(offset));
  room.on('gap', ({ from, to, reason }) => seen.push([from.offset, to.offset, reason]));
  await reached(room, 'subscribed');
  const out = writer.channel(name);
  await out.publish(1);
  await until(room, 'message', () => seen.length === 1, 'the first');
  await away(room, proxy);
  for (const n of count(2, 20)) await out.publish(n);
  const back = heard(room, 'subscribed');
  await proxy.tell('clear');
  assert.equal((await back).wasRecovering, true);
  await until(room, 'message', () => seen.at(-1) === 20, 'what is left');
  await out.publish(21);
  await until(room, 'message', () => seen.at(-1) === 21, 'the next one');
  // The newest five are still there, and the rest is told.
  assert.deepEqual(seen, [1, [2, 15, 'retention'], 16, 17, 18, 19, 20, 21]);
});

test('a channel in cache mode recovers its last message', async (t) => {
  const { proxy, reader, writer } = await broken(t);
  const room = await subscribed(reader, fresh('cache'), { recovery: 'cache' });
  const out = writer.channel(room.name);
  await away(room, proxy);
  for (const n of count(1, 5)) await out.publish(n);
  await proxy.tell('clear');
  await until(room, 'message', () => room.received.length === 1, 'the last one');
  assert.deepEqual(data(room), [5]);
  assert.deepEqual(room.gaps, []);
});

test('a position that the application has kept is continued from', async (t) => {
  const { server, reader, writer } = await broken(t);
  const room = await subscribed(reader, fresh('chat'));
  const { epoch } = room.opened.position;
  for (const n of count(1, 9)) await writer.channel(room.name).publish(n);
  const later = await connected(t, server.url);
  const resumed = await subscribed(later, room.name, { since: { epoch, offset: 4 } });
  await until(resumed, 'message', () => resumed.received.length === 5, 'the missed ones');
  assert.deepEqual(data(resumed), count(5, 9));
});

test('a server that lost its data is told as a gap, and life goes on', async (t) => {
  const server = await Server.start();
  t.after(() => server.kill());
  const reader = await connected(t, server.url);
  const room = await subscribed(reader, fresh('chat'));
  await room.publish('before');
  await until(room, 'message', () => room.received.length === 1, 'the first');
  const gap = heard(room, 'gap', () => true, 20_000);
  await server.lose();
  await room.publish('after');
  assert.equal((await gap).reason, 'epoch_changed');
  await until(room, 'message', () => room.received.length === 2, 'the next one');
  assert.deepEqual(data(room), ['before', 'after']);
});

test('a publish that was under way when the link broke is sent again where that is safe, else is unknown', async (t) => {
  const { proxy, reader, writer } = await broken(t);
  const room = await subscribed(writer, fresh('chat'));
  await proxy.tell('drop up');
  const sending = reader.channel(room.name).publish('first');
  const outcome = plain ? assert.rejects(sending, { name: 'outcome_unknown', retryable: false }) : sending;
  await proxy.tell('reset');
  await proxy.tell('clear');
  await outcome;
  await reached(reader, 'connected');
  await reader.channel(room.name).publish('second');
  const expected = plain ? ['second'] : ['first', 'second'];
  await until(room, 'message', () => room.received.length === expected.length, 'all of it');
  assert.deepEqual(data(room), expected);
});

test('a call made while the network is away is sent when it is back', async (t) => {
  const { proxy, reader, writer } = await broken(t);
  const room = await subscribed(writer, fresh('chat'));
  const lost = heard(reader, 'state', (state) => state.status === 'connecting');
  await proxy.tell('down');
  await lost;
  const sending = reader.channel(room.name).publish('patient');
  await proxy.tell('clear');
  assert.equal((await sending).epoch === undefined, false);
  await until(room, 'message', () => room.received.length === 1, 'it');
});

test('a slow link delays a connection and breaks nothing', async (t) => {
  const { proxy, writer } = await broken(t);
  await proxy.tell('delay 60');
  const far = client(t, proxy.url);
  far.connect();
  await reached(far, 'connected');
  const room = await subscribed(far, fresh('chat'));
  await proxy.tell('throttle 20000 down');
  const text = 'x'.repeat(2000);
  for (const n of count(1, 10)) await writer.channel(room.name).publish({ n, text });
  await until(room, 'message', () => room.received.length === 10, 'all of them');
  assert.deepEqual(data(room).map(({ n }) => n), count(1, 10));
});
