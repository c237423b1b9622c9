// What survives a broken network and a server that goes away.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { client, connected, fresh, subscribed, token } from './support/clients.mjs';
import { FaultProxy, Server } from '../support/processes.mjs';
import { next, until } from '../support/waiting.mjs';

// A server, a client behind a proxy that breaks, and a writer on a sound link.
const broken = async (t, flags) => {
  const server = await Server.start(flags);
  t.after(() => server.kill());
  const proxy = await FaultProxy.start(server.address);
  t.after(() => proxy.stop());
  const reader = await connected(t, proxy.url, { token: token({ sub: 'reader' }), maxServerPingDelay: 500 });
  const writer = await connected(t, server.url, { token: token({ sub: 'writer' }) });
  return { server, proxy, reader, writer };
};

const data = (room) => room.received.map((publication) => publication.data);
const count = (from, to) => Array.from({ length: to - from + 1 }, (_, n) => from + n);

for (const fault of ['reset', 'cut']) {
  test(`what was published while the network was gone arrives in order (${fault})`, async (t) => {
    const { proxy, reader, writer } = await broken(t);
    const room = await subscribed(reader, fresh('chat'));
    for (const n of count(1, 3)) await writer.publish(room.channel, n);
    await until(room, 'publication', () => room.received.length === 3, 'the first three');

    const lost = next(room, 'subscribing');
    if (fault === 'cut') await proxy.tell('cut');
    await proxy.tell('down');
    await lost;
    for (const n of count(4, 40)) await writer.publish(room.channel, n);
    const back = next(room, 'subscribed');
    await proxy.tell('clear');
    const { wasRecovering, recovered, hasRecoveredPublications } = await back;
    assert.deepEqual([wasRecovering, recovered], [true, true]);
    assert.ok(hasRecoveredPublications);

    await writer.publish(room.channel, 41);
    await until(room, 'publication', () => room.received.length >= 41, 'all of them');
    assert.deepEqual(data(room), count(1, 41));
    assert.deepEqual(room.received.map(({ offset }) => offset), count(1, 41));
  });
}

test('publications that flow during reconnects arrive once each, in order', async (t) => {
  const { proxy, reader, writer } = await broken(t);
  const room = await subscribed(reader, fresh('chat'));
  const total = 200;
  for (const n of count(1, total)) {
    await writer.publish(room.channel, n);
    // Every second time the writer goes on while the reader is still away.
    if (n % 80 === 40) await proxy.tell('reset');
    if (n % 80 === 0) {
      const back = next(room, 'subscribed');
      await proxy.tell('reset');
      await back;
    }
  }
  await until(room, 'publication', () => room.received.length >= total, 'all of them');
  assert.deepEqual(data(room), count(1, total));
});

test('a connection whose bytes vanish is given up by both sides and made anew', async (t) => {
  const { proxy, reader, writer } = await broken(t, { ping: '1s', pong: '500ms' });
  const channel = fresh('chat');
  const room = await subscribed(reader, channel);
  const watching = await subscribed(writer, channel);
  const old = reader.opened.client;
  const [lost, left] = [next(reader, 'connecting'), next(watching, 'leave')];
  await proxy.tell('blackhole');
  await writer.publish(channel, 'in the dark');
  assert.equal((await left).info.client, old);
  await lost;
  const back = next(room, 'subscribed');
  await proxy.tell('clear');
  assert.equal((await back).recovered, true);
  await until(room, 'publication', () => room.received.length === 1, 'the one of the dark');
  assert.deepEqual(data(room), ['in the dark']);
});

test('more missed than history keeps is told as not recovered, and none of it is delivered', async (t) => {
  const { proxy, reader, writer } = await broken(t);
  const room = await subscribed(reader, fresh('short'));
  await writer.publish(room.channel, 1);
  await until(room, 'publication', () => room.received.length === 1, 'the first');
  const lost = next(room, 'subscribing');
  await proxy.tell('down');
  await lost;
  for (const n of count(2, 20)) await writer.publish(room.channel, n);
  const back = next(room, 'subscribed');
  await proxy.tell('clear');
  const { wasRecovering, recovered, streamPosition } = await back;
  assert.deepEqual([wasRecovering, recovered], [true, false]);
  assert.equal(streamPosition.offset, 20);
  await writer.publish(room.channel, 21);
  await until(room, 'publication', () => room.received.length === 2, 'the next one');
  assert.deepEqual(data(room), [1, 21]);
});

test('a channel in cache mode recovers its last publication', async (t) => {
  const { proxy, reader, writer } = await broken(t);
  const room = await subscribed(reader, fresh('cache'));
  const lost = next(room, 'subscribing');
  await proxy.tell('down');
  await lost;
  for (const n of count(1, 5)) await writer.publish(room.channel, n);
  const back = next(room, 'subscribed');
  await proxy.tell('clear');
  assert.equal((await back).recovered, true);
  await until(room, 'publication', () => room.received.length === 1, 'the last one');
  assert.deepEqual(data(room), [5]);
});

test('a position from before can be given to a fresh client', async (t) => {
  const { server, reader, writer } = await broken(t);
  const room = await subscribed(reader, fresh('chat'));
  const { epoch } = room.opened.streamPosition;
  for (const n of count(1, 9)) await writer.publish(room.channel, n);
  const later = await connected(t, server.url);
  const resumed = await subscribed(later, room.channel, { since: { offset: 4, epoch } });
  assert.equal(resumed.opened.recovered, true);
  await until(resumed, 'publication', () => resumed.received.length === 5, 'the missed ones');
  assert.deepEqual(data(resumed), count(5, 9));
});

test('a server that lost its memory says so with a new epoch', async (t) => {
  const server = await Server.start();
  t.after(() => server.kill());
  const reader = await connected(t, server.url);
  const room = await subscribed(reader, fresh('chat'));
  await room.publish('before');
  const { epoch } = room.opened.streamPosition;
  const back = next(room, 'subscribed', () => true, 20_000);
  await server.kill();
  const successor = await Server.start({ listen: server.address });
  t.after(() => successor.kill());
  const { wasRecovering, recovered, streamPosition } = await back;
  assert.deepEqual([wasRecovering, recovered], [true, false]);
  assert.notEqual(streamPosition.epoch, epoch);
});

test('a slow link delays a connection and breaks nothing', async (t) => {
  const { proxy, writer } = await broken(t);
  await proxy.tell('delay 60');
  const far = client(t, proxy.url);
  const done = next(far, 'connected');
  far.connect();
  await done;
  const room = await subscribed(far, fresh('chat'));
  await proxy.tell('throttle 20000 down');
  const text = 'x'.repeat(2000);
  for (const n of count(1, 10)) await writer.publish(room.channel, { n, text });
  await until(room, 'publication', () => room.received.length === 10, 'all of them');
  assert.deepEqual(data(room).map(({ n }) => n), count(1, 10));
});
