// Networks where WebSocket does not pass: the same client over a streamed response and over server-sent events, from
// one to the other and back, without losing a message.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventSource } from 'eventsource';
import { HttpProxy } from '../support/http-proxy.mjs';
import { FaultProxy, Server } from '../support/processes.mjs';
import { within } from '../support/waiting.mjs';
import { client, connected, count, data, eventually, fresh, heard, reached, subscribed, token, until } from './support/clients.mjs';

const at = (address) => ({
  websocket: `ws://${address}/connection/websocket`,
  http_stream: `http://${address}/connection/http_stream`,
  sse: `http://${address}/connection/sse`,
});

const server = async (t, flags) => {
  const made = await Server.start(flags);
  t.after(() => made.kill());
  return made;
};

const behind = async (t, address) => {
  const proxy = await HttpProxy.start(address);
  t.after(() => proxy.stop());
  return proxy;
};

for (const transport of ['http_stream', 'sse']) {
  test(`${transport}: subscribe, publish, history, presence and rpc`, async (t) => {
    const { address } = await server(t);
    const one = await connected(t, at(address)[transport], { token: token({ sub: 'ada' }), EventSource });
    const room = await subscribed(one, fresh('chat'));
    const acks = await Promise.all(count(1, 50).map((n) => room.publish({ n })));
    assert.deepEqual(acks.map(({ offset }) => offset).filter((offset) => offset !== undefined).length, 50);
    await until(room, 'message', () => room.received.length === 50, 'all of them');
    assert.deepEqual(data(room).map(({ n }) => n), count(1, 50));
    assert.deepEqual((await room.presence.get()).map(({ user }) => user), ['ada']);
    assert.equal((await room.history({ limit: 5 })).messages.length, 5);
    assert.deepEqual(await one.rpc('echo', { a: 'ü\n"' }), { a: 'ü\n"' });
  });

  test(`${transport}: what was published while the network was gone arrives in order`, async (t) => {
    const made = await server(t);
    const proxy = await FaultProxy.start(made.address);
    t.after(() => proxy.stop());
    const reader = await connected(t, at(proxy.address)[transport], { token: token({ sub: 'reader' }), EventSource });
    const writer = await connected(t, made.url, { token: token({ sub: 'writer' }) });
    const out = writer.channel(fresh('chat'));
    const room = await subscribed(reader, out.name);
    for (const n of count(1, 3)) await out.publish(n);
    await until(room, 'message', () => room.received.length === 3, 'the first three');
    const lost = heard(room, 'subscribing');
    await proxy.tell('down');
    await lost;
    for (const n of count(4, 40)) await out.publish(n);
    await proxy.tell('clear');
    await until(room, 'message', () => room.received.length === 40, 'all of them');
    assert.deepEqual(data(room), count(1, 40));
  });

  test(`${transport}: a token is refreshed, and the server has the last word`, async (t) => {
    const made = await server(t, { ping: '1s', pong: '500ms' });
    let asked = 0;
    let enough;
    const thrice = new Promise((done) => (enough = done));
    const getToken = () => {
      asked += 1;
      if (asked === 3) enough();
      return token({ sub: 'ada', exp: Math.floor(Date.now() / 1000) + 3 });
    };
    const one = await connected(t, at(made.address)[transport], { getToken, EventSource });
    let drops = 0;
    one.on('state', ({ status }) => (drops += status === 'connecting' ? 1 : 0));
    await within(15_000, thrice, 'two refreshes');
    assert.equal(drops, 0);
    const room = await subscribed(one, fresh('chat'));
    const out = heard(room, 'unsubscribed');
    await made.unsubscribe('ada', room.name, 2000);
    assert.equal((await out).reason.code, 2000);
    const ended = heard(one, 'state', ({ status }) => status === 'disconnected');
    await made.disconnect('ada', 4501, 'enough');
    assert.deepEqual((await ended).reason, { code: 4501, text: 'enough' });
  });
}

for (const upgrades of ['refuse', 'swallow']) {
  test(`a proxy that lets no upgrade pass (${upgrades}) is got around, and WebSocket comes back when it passes`, async (t) => {
    const made = await server(t);
    const proxy = await behind(t, made.address);
    proxy.upgrades = upgrades;
    const { websocket, http_stream } = at(proxy.address);
    const one = client(t, [websocket, http_stream], {
      token: token({ sub: 'ada' }),
      connectTimeout: 1000,
      upgradeAfter: 100,
    });
    const room = await (async () => {
      one.connect();
      await reached(one, 'connected');
      return await subscribed(one, fresh('chat'));
    })();
    assert.ok(proxy.requests.includes('POST /connection/http_stream'), proxy.requests.join());
    let sent = 0;
    const acks = [];
    const send = () => acks.push(room.publish((sent += 1)));
    for (const _ of count(1, 10)) send();
    await Promise.all(acks);
    const moved = heard(one, 'state', ({ status, reason }) => status === 'connecting' && reason.code === 7);
    const back = heard(one, 'state', ({ status }) => status === 'connected', 30_000);
    proxy.upgrades = 'pass';
    for (const _ of count(1, 10)) send();
    await moved;
    for (const _ of count(1, 10)) send();
    await back;
    for (const _ of count(1, 10)) send();
    await Promise.all(acks);
    await until(room, 'message', () => room.received.length >= 40, 'all of them');
    assert.deepEqual(data(room), count(1, 40));
    assert.equal(proxy.requests.filter((line) => line.startsWith('UPGRADE')).length >= 2, true);
    const posts = proxy.requests.length;
    await room.publish('over the socket');
    assert.equal(proxy.requests.length, posts, 'nothing goes over HTTP any more');
  });
}

test('a client that has the choice moves when nothing is under way whose end it would not know', async (t) => {
  const made = await server(t);
  const proxy = await behind(t, made.address);
  proxy.upgrades = 'refuse';
  const { websocket, http_stream } = at(proxy.address);
  const one = await connected(t, [websocket, http_stream], { token: token({ sub: 'ada' }), upgradeAfter: 20 });
  const { client: before } = one.state;
  const name = fresh('asked');
  await made.hold(name);
  let settled = false;
  const sending = one.channel(name).publish('patience').finally(() => (settled = true));
  await eventually(() => one.outbox.entries[0]?.state === 'sending', 'it to be sent');
  const looks = () => proxy.requests.filter((line) => line.startsWith('UPGRADE')).length;
  const seen = looks();
  proxy.upgrades = 'pass';
  // It looks no more once the address has opened.
  await eventually(() => looks() > seen, 'a look');
  assert.equal(await one.rpc('echo', 1), 1);
  assert.deepEqual([one.state.client, settled], [before, false]);
  await made.release(name);
  await sending;
  await eventually(() => one.state.status === 'connected' && one.state.client !== before, 'the move');
});

test('a proxy that holds responses back makes way for the next address', async (t) => {
  const made = await server(t);
  const good = await behind(t, made.address);
  const bad = await behind(t, made.address);
  bad.upgrades = 'refuse';
  bad.buffer = 1_000_000;
  const urls = [at(bad.address).websocket, at(bad.address).http_stream, at(good.address).http_stream];
  const one = client(t, urls, { token: token({ sub: 'ada' }), connectTimeout: 500 });
  one.connect();
  await reached(one, 'connected');
  assert.ok(bad.requests.includes('POST /connection/http_stream'));
  const room = await subscribed(one, fresh('chat'));
  await room.publish(1);
  await until(room, 'message', () => room.received.length === 1, 'it');
});

test('a proxy that ends every connection again and again costs no message', async (t) => {
  const made = await server(t);
  const proxy = await behind(t, made.address);
  proxy.upgrades = 'refuse';
  const { websocket, http_stream, sse } = at(proxy.address);
  const one = await connected(t, [websocket, http_stream, sse], { token: token({ sub: 'ada' }), EventSource, backoffBase: 20 });
  const room = await subscribed(one, fresh('chat'));
  const acks = [];
  for (const round of count(0, 9)) {
    for (const n of count(1, 10)) {
      const sending = room.publish(round * 10 + n);
      sending.catch(() => {});
      acks.push(sending);
    }
    const back = heard(room, 'subscribed');
    proxy.cut();
    await back;
  }
  const settled = await Promise.allSettled(acks);
  const lost = settled.filter(({ status }) => status === 'rejected');
  if (process.env.HOMING_PEER_PLAIN !== '1') {
    assert.deepEqual(lost, []);
    await until(room, 'message', () => room.received.length >= 100, 'all of them');
    assert.deepEqual(data(room), count(1, 100));
  } else {
    for (const { reason } of lost) assert.equal(reason.name, 'outcome_unknown');
    const seen = data(room);
    assert.deepEqual(seen, [...new Set(seen)].sort((a, b) => a - b), 'in order, none twice');
  }
});
