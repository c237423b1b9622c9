// The official client where WebSocket does not pass: over a streamed response and over server-sent events, with its
// commands in requests of their own.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventSource } from 'eventsource';
import { connected, fresh, subscribed, token } from './support/clients.mjs';
import { FaultProxy, Server } from '../support/processes.mjs';
import { next, until, within } from '../support/waiting.mjs';

const paths = { http_stream: '/connection/http_stream', sse: '/connection/sse' };
const count = (from, to) => Array.from({ length: to - from + 1 }, (_, n) => from + n);
const data = (room) => room.received.map((publication) => publication.data);

const over = (t, transport, address, options) =>
  connected(t, [{ transport, endpoint: `http://${address}${paths[transport]}` }], {
    emulationEndpoint: `http://${address}/emulation`,
    eventsource: EventSource,
    fetch,
    readableStream: ReadableStream,
    ...options,
  });

const server = async (t, flags) => {
  const made = await Server.start(flags);
  t.after(() => made.kill());
  return made;
};

for (const transport of Object.keys(paths)) {
  test(`${transport}: connect, subscribe, publish, presence, history, rpc`, async (t) => {
    const { address } = await server(t);
    const one = await over(t, transport, address, { token: token({ sub: 'ada' }) });
    assert.equal(one.opened.transport, transport);
    const room = await subscribed(one, fresh('chat'));
    for (const n of count(1, 20)) await one.publish(room.channel, { n });
    await until(room, 'publication', () => room.received.length === 20, 'all of them');
    assert.deepEqual(data(room).map(({ n }) => n), count(1, 20));
    assert.deepEqual(Object.values((await room.presence()).clients).map(({ user }) => user), ['ada']);
    assert.equal((await room.history({ limit: 5 })).publications.length, 5);
    assert.deepEqual((await one.rpc('echo', { a: 1 })).data, { a: 1 });
    const text = 'ü"\\\n'.repeat(3000);
    await room.publish({ text });
    await until(room, 'publication', () => room.received.length === 21, 'the long one');
    assert.equal(room.received[20].data.text, text);
  });

  test(`${transport}: what was published while the network was gone is recovered`, async (t) => {
    const { address, url } = await server(t);
    const proxy = await FaultProxy.start(address);
    t.after(() => proxy.stop());
    const reader = await over(t, transport, proxy.address, { token: token({ sub: 'reader' }) });
    const writer = await connected(t, url, { token: token({ sub: 'writer' }) });
    const room = await subscribed(reader, fresh('chat'));
    for (const n of count(1, 3)) await writer.publish(room.channel, n);
    await until(room, 'publication', () => room.received.length === 3, 'the first three');
    const lost = next(room, 'subscribing');
    await proxy.tell('down');
    await lost;
    for (const n of count(4, 40)) await writer.publish(room.channel, n);
    const back = next(room, 'subscribed');
    await proxy.tell('clear');
    assert.equal((await back).recovered, true);
    await until(room, 'publication', () => room.received.length === 40, 'all of them');
    assert.deepEqual(data(room), count(1, 40));
  });

  test(`${transport}: a token is refreshed, and pings are answered`, async (t) => {
    const { address } = await server(t, { ping: '1s', pong: '500ms' });
    const soon = () => Math.floor(Date.now() / 1000) + 3;
    let asked = 0;
    let enough;
    const thrice = new Promise((done) => (enough = done));
    const getToken = async () => {
      asked += 1;
      if (asked === 3) enough();
      return token({ sub: 'ada', exp: soon() });
    };
    const one = await over(t, transport, address, { getToken });
    let drops = 0;
    one.on('connecting', () => (drops += 1));
    const room = await subscribed(one, fresh('chat'));
    await within(15_000, thrice, 'two refreshes');
    await one.publish(room.channel, 1);
    await until(room, 'publication', () => room.received.length === 1, 'it');
    assert.equal(drops, 0);
  });

  test(`${transport}: the server unsubscribes and disconnects`, async (t) => {
    const made = await server(t);
    const one = await over(t, transport, made.address, { token: token({ sub: 'ada' }) });
    const room = await subscribed(one, fresh('chat'));
    const out = next(room, 'unsubscribed');
    await made.unsubscribe('ada', room.channel, 2000);
    assert.equal((await out).code, 2000);
    const ended = next(one, 'disconnected');
    await made.disconnect('ada', 4501, 'enough');
    const { code, reason } = await ended;
    assert.deepEqual([code, reason], [4501, 'enough']);
  });
}
