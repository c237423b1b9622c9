// Opening a connection: with and without a token, refresh, refusal, the server's end of it.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import WebSocket from 'ws';
import { plain, Server } from '../support/processes.mjs';
import { within } from '../support/waiting.mjs';
import { client, connected, ForbiddenError, fresh, heard, reached, subscribed, token, until } from './support/clients.mjs';

let server;
before(async () => {
  server = await Server.start();
});
after(() => server?.kill());

test('a client without a token connects as nobody', async (t) => {
  const [one, two] = [await connected(t, server.url), await connected(t, server.url)];
  assert.ok(one.state.client.length > 0);
  assert.notEqual(one.state.client, two.state.client);
  assert.equal(one.state.user, '');
});

test('what the server offers beyond the protocol is told, and a plain one offers nothing', async (t) => {
  const one = await connected(t, server.url);
  assert.equal(one.state.capabilities.length === 0, plain);
});

test('a token names the user, and its info is shown to others', async (t) => {
  const ada = await connected(t, server.url, { token: token({ sub: 'ada', ttl: 60, info: { colour: 'red' } }) });
  const room = await subscribed(ada, fresh('chat'));
  const members = await room.presence.get();
  assert.equal(members.length, 1);
  assert.deepEqual(members[0], { user: 'ada', client: ada.state.client, connInfo: { colour: 'red' }, chanInfo: null });
});

test('a token with a wrong signature ends the connection for good', async (t) => {
  const forger = client(t, server.url, { token: token({ sub: 'ada' }, 'another key') });
  forger.connect();
  const { reason } = await heard(forger, 'state', (state) => state.status === 'disconnected');
  assert.equal(reason.code, 3500);
});

test('an expired token is fetched again, and the client gets in', async (t) => {
  let fetched = 0;
  const getToken = () => {
    fetched += 1;
    return token({ sub: 'late', ttl: 60 });
  };
  await connected(t, server.url, { token: token({ sub: 'late', ttl: -10 }), getToken });
  assert.equal(fetched, 1);
});

test('a token is refreshed before it expires, in the same connection', async (t) => {
  let fetched = 0;
  const waiting = [];
  const getToken = () => {
    fetched += 1;
    waiting.splice(0).forEach((look) => look());
    return token({ sub: 'steady', ttl: 2 });
  };
  const steady = await connected(t, server.url, { getToken });
  const { client: id } = steady.state;
  while (fetched < 3) await new Promise((done) => waiting.push(done));
  assert.deepEqual(await steady.rpc('echo', { still: id }), { still: id });
  assert.equal(steady.state.client, id);
  assert.deepEqual(steady.errors, []);
});

test('an application that refuses to give a token ends the connection', async (t) => {
  const refused = client(t, server.url, {
    getToken: () => {
      throw new ForbiddenError('not you');
    },
  });
  refused.connect();
  await heard(refused, 'state', (state) => state.status === 'disconnected');
  assert.ok(refused.errors.some(({ name }) => name === 'token_forbidden'));
});

test('server pings are answered and keep the connection', async (t) => {
  const lively = await Server.start({ ping: '1s', pong: '500ms' });
  t.after(() => lively.kill());
  let pings = 0;
  let enough;
  const three = new Promise((done) => (enough = done));
  class Listening extends WebSocket {
    constructor(...given) {
      super(...given);
      this.on('message', (frame) => String(frame) === '{}' && ++pings === 3 && enough());
    }
  }
  const one = await connected(t, lively.url, { WebSocket: Listening });
  const { client: id } = one.state;
  await within(10_000, three, 'three pings');
  assert.deepEqual(await one.rpc('echo', 1), 1);
  assert.equal(one.state.client, id);
});

test('a connection ended with a terminal code stays ended', async (t) => {
  const one = await connected(t, server.url, { token: token({ sub: 'banned' }) });
  const room = await subscribed(one, fresh('chat'));
  const done = heard(one, 'state', (state) => state.status === 'disconnected');
  await server.disconnect('banned', 3503, 'force disconnect');
  const { reason } = await done;
  assert.equal(reason.code, 3503);
  assert.equal(room.state.status, 'subscribing');
  one.connect();
  await reached(one, 'connected');
  await until(room, 'state', () => room.state.status === 'subscribed', 'the channel to come back');
});

test('a client that closes settles what was sent as unknown and says nothing more', async (t) => {
  const one = await connected(t, server.url);
  const room = await subscribed(one, fresh('chat'));
  const call = assert.rejects(one.rpc('echo', 1), { name: 'outcome_unknown' });
  await one.close();
  await call;
  assert.equal(one.state.status, 'closed');
  await server.publish(room.name, 'unheard');
  assert.deepEqual(room.received, []);
  assert.throws(() => one.connect(), { name: 'closed' });
  await assert.rejects(room.publish(1), { name: 'closed' });
});
