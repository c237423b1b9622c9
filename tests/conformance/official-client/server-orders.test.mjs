// What the server does by itself: subscriptions of its own, and ending things.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connected, client, fresh, subscribed, token } from './support/clients.mjs';
import { FaultProxy, Server } from '../support/processes.mjs';
import { next, until } from '../support/waiting.mjs';

let server;
before(async () => {
  server = await Server.start();
});
after(() => server?.kill());

let users = 0;
const someone = async (t, claims = {}) => {
  const name = `user-${process.pid}-${++users}`;
  return [name, await connected(t, server.url, { token: token({ sub: name, ...claims }) })];
};

test('a subscription ended by the server stays ended', async (t) => {
  const [name, one] = await someone(t);
  const room = await subscribed(one, fresh('chat'));
  const done = next(room, 'unsubscribed');
  await server.unsubscribe(name, room.channel, 2000, 'server unsubscribe');
  assert.deepEqual(await done, { channel: room.channel, code: 2000, reason: 'server unsubscribe' });
  assert.equal(one.state, 'connected');
  await server.publish(room.channel, 'unheard');
  assert.deepEqual(await one.rpc('echo', 1), { data: 1 });
  assert.deepEqual(room.received, []);
});

test('a subscription ended for the sake of its state is made again', async (t) => {
  const [name, one] = await someone(t);
  const room = await subscribed(one, fresh('chat'));
  const [dropped, again] = [next(room, 'subscribing'), next(room, 'subscribed')];
  await server.unsubscribe(name, room.channel, 2500, 'insufficient state');
  assert.equal((await dropped).code, 2500);
  assert.equal((await again).recovered, true);
});

test('a connection ended with a terminal code stays ended', async (t) => {
  const [name, one] = await someone(t);
  const done = next(one, 'disconnected');
  await server.disconnect(name, 3503, 'force disconnect');
  assert.deepEqual(await done, { code: 3503, reason: 'force disconnect' });
});

test('a connection ended with another code comes back', async (t) => {
  const [name, one] = await someone(t);
  const room = await subscribed(one, fresh('chat'));
  const [lost, back] = [next(one, 'connecting'), next(room, 'subscribed')];
  await server.disconnect(name, 3001, 'shutdown');
  assert.deepEqual(await lost, { code: 3001, reason: 'shutdown' });
  assert.equal((await back).recovered, true);
});

test('only connections of the user named are ended', async (t) => {
  const [name, one] = await someone(t);
  const [, two] = await someone(t);
  const done = next(one, 'disconnected');
  await server.disconnect(name, 3503);
  await done;
  assert.deepEqual(await two.rpc('echo', 'here'), { data: 'here' });
});

test('the channels of a token are subscribed by the server', async (t) => {
  const channel = fresh('chat');
  const one = client(t, server.url, { token: token({ sub: 'member', channels: [channel] }) });
  const received = [];
  one.on('publication', (publication) => received.push(publication));
  const done = next(one, 'subscribed', (context) => context.channel === channel);
  one.connect();
  const { recoverable, streamPosition } = await done;
  assert.equal(recoverable, true);
  assert.equal(streamPosition.offset, 0);
  await server.publish(channel, { n: 1 });
  await until(one, 'publication', () => received.length === 1, 'the publication');
  assert.deepEqual([received[0].channel, received[0].data], [channel, { n: 1 }]);
  const { clients } = await one.presence(channel);
  assert.equal(Object.values(clients)[0].user, 'member');
});

test('a subscription of the server recovers what a cut has cost', async (t) => {
  const proxy = await FaultProxy.start(server.address);
  t.after(() => proxy.stop());
  const channel = fresh('chat');
  const one = client(t, proxy.url, { token: token({ sub: 'member', channels: [channel] }) });
  const received = [];
  one.on('publication', ({ data }) => received.push(data));
  const done = next(one, 'subscribed');
  one.connect();
  await done;
  await server.publish(channel, 1);
  await until(one, 'publication', () => received.length === 1, 'the first');
  const lost = next(one, 'connecting');
  await proxy.tell('down');
  await lost;
  for (const n of [2, 3, 4]) await server.publish(channel, n);
  const back = next(one, 'subscribed');
  await proxy.tell('clear');
  assert.equal((await back).recovered, true);
  await until(one, 'publication', () => received.length === 4, 'the missed ones');
  assert.deepEqual(received, [1, 2, 3, 4]);
});
