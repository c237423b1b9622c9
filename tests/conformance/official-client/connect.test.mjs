// Opening a connection: with and without a token, refresh, and what is refused.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { UnauthorizedError } from 'centrifuge';
import WebSocket from 'ws';
import { client, connected, fresh, raw, subscribed, token } from './support/clients.mjs';
import { plain, Server } from '../support/processes.mjs';
import { next, until } from '../support/waiting.mjs';

let server;
before(async () => {
  server = await Server.start();
});
after(() => server?.kill());

test('a client without a token connects as nobody', async (t) => {
  const one = await connected(t, server.url);
  assert.equal(one.state, 'connected');
  assert.ok(one.opened.client.length > 0);
  const two = await connected(t, server.url);
  assert.notEqual(one.opened.client, two.opened.client);
});

test('a token names the user, and its info is shown to others', async (t) => {
  const ada = await connected(t, server.url, { token: token({ sub: 'ada', ttl: 60, info: { colour: 'red' } }) });
  const room = await subscribed(ada, fresh('chat'));
  const { clients } = await room.presence();
  assert.deepEqual(Object.keys(clients), [ada.opened.client]);
  assert.equal(clients[ada.opened.client].user, 'ada');
  assert.deepEqual(clients[ada.opened.client].connInfo, { colour: 'red' });
});

test('a server that wants tokens refuses a client without one', async (t) => {
  const strict = await Server.start({ anonymous: false });
  t.after(() => strict.kill());
  const nobody = client(t, strict.url);
  const done = next(nobody, 'disconnected');
  nobody.connect();
  const { code } = await done;
  // A server may refuse in the reply or by closing.
  assert.ok([101, 3501, 3507].includes(code), `refused with ${code}`);
  await connected(t, strict.url, { token: token({ sub: 'ada' }) });
});

test('a token with a wrong signature ends the connection for good', async (t) => {
  const forger = client(t, server.url, { token: token({ sub: 'ada' }, 'another key') });
  const done = next(forger, 'disconnected');
  forger.connect();
  assert.equal((await done).code, 3500);
});

test('an expired token is fetched again, and the client gets in', async (t) => {
  let fetched = 0;
  const late = client(t, server.url, {
    token: token({ sub: 'late', ttl: -10 }),
    getToken: async () => {
      fetched += 1;
      return token({ sub: 'late', ttl: 60 });
    },
  });
  const done = next(late, 'connected');
  late.connect();
  await done;
  assert.equal(fetched, 1);
});

test('a token is refreshed before it expires, in the same connection', async (t) => {
  let fetched = 0;
  const errors = [];
  const steady = client(t, server.url, {
    getToken: async () => {
      fetched += 1;
      steady.emit('fetched', fetched);
      return token({ sub: 'steady', ttl: 2 });
    },
  });
  const seen = [];
  steady.on('connecting', (context) => seen.push(context));
  steady.on('error', (context) => errors.push(context));
  const done = next(steady, 'connected');
  steady.connect();
  const { client: id } = await done;
  // The third token is asked for only after the second was accepted, with its own time to live.
  await until(steady, 'fetched', () => fetched >= 3, 'two refreshes');
  assert.deepEqual(await steady.rpc('echo', { still: id }), { data: { still: id } });
  assert.equal(seen.length, 1);
  assert.deepEqual(errors, []);
});

test('an application that refuses to give a token ends the connection', async (t) => {
  const refused = client(t, server.url, {
    getToken: async () => {
      throw new UnauthorizedError('no');
    },
  });
  const done = next(refused, 'disconnected');
  refused.connect();
  assert.equal((await done).code, 1);
});

test('server pings are answered and keep the connection', async (t) => {
  const lively = await Server.start({ ping: '1s', pong: '500ms' });
  t.after(() => lively.kill());
  let pings = 0;
  class Listening extends WebSocket {
    constructor(...given) {
      super(...given);
      this.on('message', (frame) => String(frame) === '{}' && one.emit('pinged', ++pings));
    }
  }
  const one = client(t, lively.url, { websocket: Listening });
  const left = [];
  one.on('disconnected', (context) => left.push(context));
  const done = next(one, 'connected');
  one.connect();
  await done;
  one.on('connecting', (context) => left.push(context));
  await until(one, 'pinged', () => pings >= 3, 'three pings');
  assert.deepEqual(left, []);
});

test('a client that answers no ping is closed with 3012', async (t) => {
  const lively = await Server.start({ ping: '1s', pong: '500ms' });
  t.after(() => lively.kill());
  const mute = await raw(t, lively.url);
  mute.send({ id: 1, connect: {} });
  const { connect } = await mute.reply();
  assert.equal(connect.ping, 1);
  assert.equal(connect.pong, true);
  assert.equal((await mute.closed()).code, 3012);
});

for (const [what, frames] of [
  ['a frame that is no JSON', ['{"id":1,"connect":{}}', '{"id":2,']],
  ['a first command that is not connect', ['{"id":1,"subscribe":{"channel":"chat:x"}}']],
  ['a second connect', ['{"id":1,"connect":{}}', '{"id":2,"connect":{}}']],
  ['a command without a verb', ['{"id":1,"connect":{}}', '{"id":2}']],
  // Homing's server lets it pass: it may be the answer to a ping of a connection before.
  ...(plain ? [['a pong that nobody asked for', ['{"id":1,"connect":{}}', '{}']]] : []),
]) {
  test(`${what} closes the connection with 3501`, async (t) => {
    const socket = await raw(t, server.url);
    for (const frame of frames) socket.send(frame);
    assert.equal((await socket.closed()).code, 3501);
  });
}

test('several commands in a frame are answered, each under its id', async (t) => {
  const socket = await raw(t, server.url);
  const channel = fresh('chat');
  socket.send(
    { id: 1, connect: {} },
    { id: 2, subscribe: { channel } },
    { id: 3, rpc: { method: 'echo', data: [1, 'two', null] } },
  );
  const replies = [];
  while (replies.length < 3) {
    const reply = await socket.reply();
    if (reply.id) replies.push(reply);
  }
  assert.deepEqual(replies.map(({ id }) => id).sort(), [1, 2, 3]);
  assert.equal(replies[0].id, 1);
  assert.deepEqual(replies.find(({ id }) => id === 3).rpc.data, [1, 'two', null]);
});
