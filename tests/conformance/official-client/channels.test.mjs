// What a channel offers: publications, presence, join and leave, history, tokens, errors.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connected, fresh, raw, subscribed, token } from './support/clients.mjs';
import { Server } from '../support/processes.mjs';
import { next, until } from '../support/waiting.mjs';

let server;
before(async () => {
  server = await Server.start();
});
after(() => server?.kill());

const user = (t, name) => connected(t, server.url, { token: token({ sub: name }) });

test('a publication reaches every subscriber, the publisher too, with its author', async (t) => {
  const [ada, bob] = [await user(t, 'ada'), await user(t, 'bob')];
  const channel = fresh('chat');
  const rooms = [await subscribed(ada, channel), await subscribed(bob, channel)];
  const arrivals = rooms.map((room) => next(room, 'publication'));
  await rooms[0].publish({ text: 'hello' });
  for (const publication of await Promise.all(arrivals)) {
    assert.equal(publication.channel, channel);
    assert.deepEqual(publication.data, { text: 'hello' });
    assert.equal(publication.offset, 1);
    assert.equal(publication.info.user, 'ada');
    assert.equal(publication.info.client, ada.opened.client);
  }
});

test('payloads of every JSON kind arrive unchanged', async (t) => {
  const room = await subscribed(await user(t, 'ada'), fresh('chat'));
  const payloads = [
    {}, [], 0, -1.5e-7, 12345678901234, true, 'text', '', { 'k "quoted"\\': [null, { deep: [[[]]] }] },
    'line\nbreak\ttab \u0000 é 漢字 😀 \u2028', { push: { channel: 'x' }, id: 1, error: {} },
  ];
  for (const payload of payloads) await room.publish(payload);
  await until(room, 'publication', () => room.received.length === payloads.length, 'all payloads');
  assert.deepEqual(room.received.map(({ data }) => data), payloads);
});

test('five hundred publications arrive once each, in order, with contiguous offsets', async (t) => {
  const channel = fresh('chat');
  const room = await subscribed(await user(t, 'ada'), channel);
  const bob = await user(t, 'bob');
  const acks = Array.from({ length: 500 }, (_, n) => bob.publish(channel, n));
  await Promise.all(acks);
  await until(room, 'publication', () => room.received.length >= 500, 'all publications');
  assert.deepEqual(room.received.map(({ data }) => data), Array.from({ length: 500 }, (_, n) => n));
  assert.deepEqual(room.received.map(({ offset }) => offset), Array.from({ length: 500 }, (_, n) => n + 1));
});

test('a publication of the server arrives without an author', async (t) => {
  const room = await subscribed(await user(t, 'ada'), fresh('chat'));
  const arrival = next(room, 'publication');
  await server.publish(room.channel, { from: 'server' });
  const publication = await arrival;
  assert.deepEqual(publication.data, { from: 'server' });
  assert.equal(publication.info, undefined);
});

test('a channel without history has publications without offsets', async (t) => {
  const room = await subscribed(await user(t, 'ada'), `plain-${process.pid}`);
  assert.equal(room.opened.recoverable, false);
  const arrival = next(room, 'publication');
  await room.publish(1);
  assert.ok(!(await arrival).offset);
});

test('presence shows who is subscribed, and its stats count them', async (t) => {
  const channel = fresh('chat');
  const [one, two, bob] = [await user(t, 'ada'), await user(t, 'ada'), await user(t, 'bob')];
  const room = await subscribed(one, channel);
  await subscribed(two, channel);
  await subscribed(bob, channel);
  const { clients } = await room.presence();
  const ids = [one, two, bob].map(({ opened }) => opened.client);
  assert.deepEqual(Object.keys(clients).sort(), ids.sort());
  assert.equal(clients[bob.opened.client].user, 'bob');
  assert.deepEqual(await room.presenceStats(), { numClients: 3, numUsers: 2 });
});

test('join and leave tell who came and went, once each', async (t) => {
  const channel = fresh('chat');
  const [ada, bob] = [await user(t, 'ada'), await user(t, 'bob')];
  const room = await subscribed(ada, channel);
  const seen = [];
  for (const event of ['join', 'leave']) {
    room.on(event, ({ info }) => {
      if (info.user === 'bob') seen.push([event, info.client]);
      room.emit('seen', info);
    });
  }
  const other = await subscribed(bob, channel);
  await until(room, 'seen', () => seen.length === 1, 'the join');
  other.unsubscribe();
  await until(room, 'seen', () => seen.length === 2, 'the leave');
  assert.deepEqual(seen, [['join', bob.opened.client], ['leave', bob.opened.client]]);
  const { clients } = await room.presence();
  assert.deepEqual(Object.keys(clients), [ada.opened.client]);
});

test('a connection that ends leaves its channels', async (t) => {
  const channel = fresh('chat');
  const room = await subscribed(await user(t, 'ada'), channel);
  const bob = await user(t, 'bob');
  await subscribed(bob, channel);
  const left = next(room, 'leave');
  bob.disconnect();
  assert.equal((await left).info.user, 'bob');
});

test('history pages forward from a position and backward from the end', async (t) => {
  const room = await subscribed(await user(t, 'ada'), fresh('chat'));
  for (let n = 1; n <= 10; n += 1) await room.publish({ n });
  const numbers = ({ publications }) => publications.map(({ data }) => data.n);

  const top = await room.history({ limit: 0 });
  assert.deepEqual(top.publications, []);
  assert.equal(top.offset, 10);
  assert.ok(top.epoch.length > 0);
  assert.deepEqual(numbers(await room.history({ limit: -1 })), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  assert.deepEqual(numbers(await room.history({ limit: 3 })), [1, 2, 3]);
  assert.deepEqual(numbers(await room.history({ limit: 3, reverse: true })), [10, 9, 8]);
  const since = (offset) => ({ offset, epoch: top.epoch });
  assert.deepEqual(numbers(await room.history({ limit: 4, since: since(3) })), [4, 5, 6, 7]);
  assert.deepEqual(numbers(await room.history({ limit: 4, since: since(8), reverse: true })), [7, 6, 5, 4]);
  assert.deepEqual(numbers(await room.history({ limit: -1, since: since(10) })), []);
  await assert.rejects(room.history({ limit: 5, since: { offset: 3, epoch: 'elsewhere' } }), { code: 112 });
});

test('a channel that nobody has published to has a position all the same', async (t) => {
  const room = await subscribed(await user(t, 'ada'), fresh('chat'));
  assert.equal(room.opened.recoverable, true);
  assert.equal(room.opened.streamPosition.offset, 0);
  assert.ok(room.opened.streamPosition.epoch.length > 0);
  const { offset, epoch } = await room.history({ limit: 0 });
  assert.deepEqual({ offset, epoch }, room.opened.streamPosition);
});

test('history keeps as many publications as its size allows', async (t) => {
  const room = await subscribed(await user(t, 'ada'), fresh('short'));
  for (let n = 1; n <= 8; n += 1) await room.publish(n);
  const { publications } = await room.history({ limit: -1 });
  assert.deepEqual(publications.map(({ data }) => data), [4, 5, 6, 7, 8]);
  assert.deepEqual(publications.map(({ offset }) => offset), [4, 5, 6, 7, 8]);
});

test('what is not allowed is refused with its code, and the connection stays', async (t) => {
  const socket = await raw(t, server.url);
  socket.send({ id: 1, connect: {} });
  await socket.reply();
  const channel = fresh('short');
  const cases = [
    [{ subscribe: { channel: 'nowhere:x' } }, 102],
    [{ publish: { channel: 'nowhere:x', data: 1 } }, 102],
    [{ subscribe: { channel: 'closed:x' } }, 103],
    [{ rpc: { method: 'no.such.method', data: {} } }, 104],
    [{ subscribe: { channel } }, undefined],
    [{ subscribe: { channel } }, 105],
    [{ presence: { channel: fresh('chat') } }, 103],
    [{ history: { channel: fresh('chat'), limit: 1 } }, 103],
    [{ subscribe: { channel: `chat:${'x'.repeat(300)}` } }, 107],
  ];
  let id = 1;
  for (const [command, code] of cases) {
    id += 1;
    socket.send({ id, ...command });
    let reply = await socket.reply();
    while (reply.id !== id) reply = await socket.reply();
    assert.equal(reply.error?.code, code, JSON.stringify({ command, reply }));
  }
});

test('after unsubscribe nothing arrives, and the channel can be joined again', async (t) => {
  const channel = fresh('chat');
  const room = await subscribed(await user(t, 'ada'), channel);
  const bob = await subscribed(await user(t, 'bob'), channel);
  const left = next(bob, 'leave');
  room.unsubscribe();
  await left;
  await bob.publish('unheard');
  await until(bob, 'publication', () => bob.received.length === 1, 'the publication');
  assert.deepEqual(room.received, []);
  const again = next(room, 'subscribed');
  room.subscribe();
  await again;
  await bob.publish('heard');
  await until(room, 'publication', () => room.received.some(({ data }) => data === 'heard'), 'the second one');
});

test('a token-only channel takes the token for it, and no other', async (t) => {
  const ada = await user(t, 'ada');
  const channel = `$${fresh('chat')}`;
  const refused = async (given) => {
    const sub = ada.newSubscription(channel, { token: given });
    const done = next(sub, 'unsubscribed');
    sub.subscribe();
    const { code } = await done;
    ada.removeSubscription(sub);
    return code;
  };
  assert.equal(await refused(token({ sub: 'ada', channel: '$chat:another' })), 103);
  assert.equal(await refused(token({ sub: 'bob', channel })), 103);
  assert.equal(await refused('nonsense'), 103);
  const room = await subscribed(ada, channel, { token: token({ sub: 'ada', channel }) });
  await room.publish('in');
  await until(room, 'publication', () => room.received.length === 1, 'the publication');
});

test('a subscription token is refreshed before it expires', async (t) => {
  const ada = await user(t, 'ada');
  const channel = `$${fresh('chat')}`;
  let fetched = 0;
  const sub = ada.newSubscription(channel, {
    getToken: async () => {
      fetched += 1;
      sub.emit('fetched', fetched);
      return token({ sub: 'ada', channel, ttl: 2 });
    },
  });
  const left = [];
  sub.on('subscribing', (context) => left.push(context));
  const done = next(sub, 'subscribed');
  sub.subscribe();
  await done;
  await until(sub, 'fetched', () => fetched >= 3, 'two refreshes');
  assert.equal(left.length, 1);
});
