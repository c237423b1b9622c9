// What the server does by itself: subscriptions of its own, and ending things.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { FaultProxy, Server } from '../support/processes.mjs';
import { client, connected, data, fresh, heard, reached, subscribed, token, until } from './support/clients.mjs';

let server;
before(async () => {
  server = await Server.start();
});
after(() => server?.kill());

let users = 0;
const someone = async (t) => {
  const name = `user-${process.pid}-${++users}`;
  return [name, await connected(t, server.url, { token: token({ sub: name }) })];
};

test('a subscription ended by the server stays ended', async (t) => {
  const [name, one] = await someone(t);
  const room = await subscribed(one, fresh('chat'));
  const done = heard(room, 'unsubscribed');
  await server.unsubscribe(name, room.name, 2000, 'server unsubscribe');
  assert.equal((await done).reason.code, 2000);
  assert.equal(one.state.status, 'connected');
  await server.publish(room.name, 'unheard');
  assert.deepEqual(await one.rpc('echo', 1), 1);
  assert.deepEqual(room.received, []);
});

test('a subscription ended for the sake of its state is made again', async (t) => {
  const [name, one] = await someone(t);
  const room = await subscribed(one, fresh('chat'));
  await room.publish(1);
  await until(room, 'message', () => room.received.length === 1, 'the first');
  const again = heard(room, 'subscribed');
  await server.unsubscribe(name, room.name, 2500, 'insufficient state');
  assert.equal((await again).recovered, true);
  await room.publish(2);
  await until(room, 'message', () => room.received.length === 2, 'the second');
  assert.deepEqual(data(room), [1, 2]);
  assert.deepEqual(room.gaps, []);
});

test('a connection ended with another code comes back, its channels too', async (t) => {
  const [name, one] = await someone(t);
  const room = await subscribed(one, fresh('chat'));
  const [lost, back] = [heard(one, 'state', ({ status }) => status === 'connecting'), heard(room, 'subscribed')];
  await server.disconnect(name, 3001, 'shutdown');
  assert.equal((await lost).reason.code, 3001);
  assert.equal((await back).recovered, true);
});

test('only connections of the user named are ended', async (t) => {
  const [name, one] = await someone(t);
  const [, two] = await someone(t);
  const { client: id } = two.state;
  const done = heard(one, 'state', ({ status }) => status === 'disconnected');
  await server.disconnect(name, 3503);
  await done;
  assert.deepEqual(await two.rpc('echo', 'here'), 'here');
  assert.equal(two.state.client, id);
});

// A client with a channel of its token, and what it heard in it without a handle.
const member = async (t, url, channel) => {
  const one = client(t, url, { token: token({ sub: 'member', channels: [channel] }), silenceSlack: 500 });
  const seen = [];
  one.on('channel', (event) => event.channel === channel && seen.push(event.event));
  const done = heard(one, 'channel', ({ event }) => event.type === 'subscribed');
  one.connect();
  await done;
  return [one, seen];
};
const messages = (seen) => seen.filter(({ type }) => type === 'message').map((message) => message.data);

test('the channels of a token are subscribed by the server', async (t) => {
  const channel = fresh('chat');
  const [one, seen] = await member(t, server.url, channel);
  await server.publish(channel, { n: 1 });
  await until(one, 'channel', () => messages(seen).length === 1, 'the message');
  assert.deepEqual(messages(seen), [{ n: 1 }]);
  const [{ user }] = await one.channel(channel).presence.get();
  assert.equal(user, 'member');
});

test('a subscription of the server recovers what a cut has cost', async (t) => {
  const proxy = await FaultProxy.start(server.address);
  t.after(() => proxy.stop());
  const channel = fresh('chat');
  const [one, seen] = await member(t, proxy.url, channel);
  await server.publish(channel, 1);
  await until(one, 'channel', () => messages(seen).length === 1, 'the first');
  const lost = heard(one, 'state', ({ status }) => status === 'connecting');
  await proxy.tell('down');
  await lost;
  for (const n of [2, 3, 4]) await server.publish(channel, n);
  await proxy.tell('clear');
  await reached(one, 'connected');
  await until(one, 'channel', () => messages(seen).length === 4, 'the missed ones');
  assert.deepEqual(messages(seen), [1, 2, 3, 4]);
  assert.deepEqual(seen.filter(({ type }) => type === 'gap'), []);
});
