// What a channel offers: messages, presence, coming and going, history, tokens, refusals.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Server } from '../support/processes.mjs';
import { connected, count, data, fresh, heard, subscribed, token, until } from './support/clients.mjs';

let server;
before(async () => {
  server = await Server.start();
});
after(() => server?.kill());

const user = (t, name) => connected(t, server.url, { token: token({ sub: name }) });

test('a message reaches every subscriber, the publisher too, with its author', async (t) => {
  const [ada, bob] = [await user(t, 'ada'), await user(t, 'bob')];
  const name = fresh('chat');
  const rooms = [await subscribed(ada, name), await subscribed(bob, name)];
  const arrivals = rooms.map((room) => heard(room, 'message'));
  await rooms[0].publish({ text: 'hello' });
  for (const message of await Promise.all(arrivals)) {
    assert.deepEqual(message.data, { text: 'hello' });
    assert.equal(message.offset, 1);
    assert.equal(message.epoch, rooms[0].opened.position.epoch);
    assert.equal(message.info.user, 'ada');
    assert.equal(message.info.client, ada.state.client);
  }
});

test('payloads of every JSON kind arrive unchanged', async (t) => {
  const room = await subscribed(await user(t, 'ada'), fresh('chat'));
  const payloads = [
    {}, [], 0, -1.5e-7, 12345678901234, true, 'text', '', { 'k "quoted"\\': [null, { deep: [[[]]] }] },
    'line\nbreak\ttab \u0000 é 漢字 😀 \u2028', { push: { channel: 'x' }, id: 1, error: {} },
  ];
  for (const payload of payloads) await room.publish(payload);
  await until(room, 'message', () => room.received.length === payloads.length, 'all payloads');
  assert.deepEqual(data(room), payloads);
});

test('five hundred messages arrive once each, in order, with contiguous offsets', async (t) => {
  const name = fresh('chat');
  const room = await subscribed(await user(t, 'ada'), name);
  const writer = (await user(t, 'bob')).channel(name);
  await Promise.all(count(1, 500).map((n) => writer.publish(n)));
  await until(room, 'message', () => room.received.length >= 500, 'all messages');
  assert.deepEqual(data(room), count(1, 500));
  assert.deepEqual(room.received.map(({ offset }) => offset), count(1, 500));
  assert.deepEqual(room.gaps, []);
});

test('a message of the server arrives without an author', async (t) => {
  const room = await subscribed(await user(t, 'ada'), fresh('chat'));
  const arrival = heard(room, 'message');
  await server.publish(room.name, { from: 'server' });
  const message = await arrival;
  assert.deepEqual(message.data, { from: 'server' });
  assert.equal(message.info, null);
});

test('a channel without history has messages without offsets', async (t) => {
  const room = await subscribed(await user(t, 'ada'), `plain-${process.pid}`);
  assert.equal(room.opened.position, null);
  const arrival = heard(room, 'message');
  await room.publish(1);
  assert.equal((await arrival).offset, 0);
});

test('presence shows who is subscribed, and its stats count them', async (t) => {
  const name = fresh('chat');
  const people = [await user(t, 'ada'), await user(t, 'ada'), await user(t, 'bob')];
  const rooms = [];
  for (const person of people) rooms.push(await subscribed(person, name));
  const members = await rooms[0].presence.get();
  const ids = (list) => list.map(({ client }) => client).sort();
  assert.deepEqual(ids(members), ids(people.map(({ state }) => state)));
  assert.deepEqual(await rooms[0].presence.stats(), { clients: 3, users: 2 });
});

test('joined and left tell who came and went, once each', async (t) => {
  const name = fresh('chat');
  const [ada, bob] = [await user(t, 'ada'), await user(t, 'bob')];
  const room = await subscribed(ada, name);
  const seen = [];
  for (const type of ['joined', 'left']) {
    room.on(type, ({ info }) => info.user === 'bob' && seen.push([type, info.client]));
  }
  const came = heard(room, 'joined', ({ info }) => info.user === 'bob');
  const other = await subscribed(bob, name);
  await came;
  const went = heard(room, 'left');
  await other.leave();
  await went;
  assert.deepEqual(seen, [['joined', bob.state.client], ['left', bob.state.client]]);
});

test('a connection that ends leaves its channels', async (t) => {
  const name = fresh('chat');
  const room = await subscribed(await user(t, 'ada'), name);
  const bob = await user(t, 'bob');
  await subscribed(bob, name);
  const left = heard(room, 'left');
  await bob.close();
  assert.equal((await left).info.user, 'bob');
});

test('history pages both ways, and a page knows the pages beside it', async (t) => {
  const room = await subscribed(await user(t, 'ada'), fresh('chat'));
  for (const n of count(1, 10)) await room.publish(n);
  const numbers = ({ messages }) => messages.map((message) => message.data);

  const top = await room.history({ limit: 0 });
  assert.deepEqual([numbers(top), top.position.offset], [[], 10]);
  assert.deepEqual(numbers(await room.history()), count(1, 10));
  const first = await room.history({ limit: 3 });
  assert.deepEqual(numbers(first), [1, 2, 3]);
  assert.deepEqual(numbers(await first.newer()), [4, 5, 6]);
  const last = await room.history({ limit: 3, reverse: true });
  assert.deepEqual(numbers(last), [10, 9, 8]);
  assert.deepEqual(numbers(await last.older()), [7, 6, 5]);
  const { epoch } = top.position;
  assert.deepEqual(numbers(await room.history({ limit: 4, since: { epoch, offset: 3 } })), [4, 5, 6, 7]);
  assert.deepEqual(numbers(await room.history({ limit: 4, since: { epoch, offset: 8 }, reverse: true })), [7, 6, 5, 4]);
  await assert.rejects(room.history({ limit: 5, since: { epoch: 'elsewhere', offset: 3 } }), {
    name: 'unrecoverable_position',
    code: 112,
  });
});

test('a loop that begins with history goes on live without a hole', async (t) => {
  const name = fresh('chat');
  const writer = (await user(t, 'bob')).channel(name);
  const reader = (await user(t, 'ada')).channel(name);
  await subscribed(await user(t, 'cleo'), name);
  // The server lets subscribers read history, so the loop subscribes first.
  const posting = (async () => {
    for (const n of count(1, 120)) await writer.publish(n);
  })();
  const seen = [];
  for await (const item of reader.messages({ last: 300 })) {
    assert.equal(item.type, 'message');
    seen.push(item.data);
    if (item.data === 120) break;
  }
  await posting;
  const first = seen[0];
  assert.deepEqual(seen, count(first, 120));
  assert.equal(first, 1);
});

test('what is not allowed is refused with its name, and the connection stays', async (t) => {
  const ada = await user(t, 'ada');
  const { client: id } = ada.state;
  const elsewhere = fresh('chat');
  await assert.rejects(ada.channel('nowhere:x').publish(1), { name: 'unknown_channel', code: 102, retryable: false });
  await assert.rejects(ada.channel('closed:x').publish(1), { name: 'permission_denied', code: 103 });
  await assert.rejects(ada.rpc('no.such.method', {}), { name: 'method_not_found', code: 104 });
  await assert.rejects(ada.channel(elsewhere).presence.get(), { name: 'permission_denied' });
  await assert.rejects(ada.channel(elsewhere).history({ limit: 1 }), { name: 'permission_denied' });
  for (const [name, code] of [['nowhere:x', 102], ['closed:x', 103]]) {
    const channel = ada.channel(name);
    const { reason } = await heard(channel, 'unsubscribed');
    assert.equal(reason.code, code);
  }
  assert.equal(ada.state.client, id);
});

test('a payload that is no JSON is refused before anything is sent', async (t) => {
  const ada = await user(t, 'ada');
  for (const payload of [undefined, () => 1, 1n]) {
    assert.throws(() => ada.channel(fresh('chat')).publish(payload), { name: 'invalid_payload' });
  }
});

test('after leaving nothing arrives, and the channel can be joined again', async (t) => {
  const name = fresh('chat');
  const ada = await user(t, 'ada');
  const room = await subscribed(ada, name);
  const bob = await subscribed(await user(t, 'bob'), name);
  const left = heard(bob, 'left');
  await room.leave();
  await left;
  await bob.publish('unheard');
  await until(bob, 'message', () => bob.received.length === 1, 'the message');
  assert.deepEqual(room.received, []);
  const again = await subscribed(ada, name);
  await bob.publish('heard');
  await until(again, 'message', () => again.received.length >= 1, 'the second one');
  assert.deepEqual(data(again), ['heard']);
});

test('several handles share one subscription, and the last to leave ends it', async (t) => {
  const name = fresh('chat');
  const ada = await user(t, 'ada');
  const watching = await subscribed(await user(t, 'bob'), name);
  const one = await subscribed(ada, name);
  const two = ada.channel(name);
  const received = [];
  two.on('message', (message) => received.push(message.data));
  await one.leave();
  assert.equal(two.state.status, 'subscribed');
  const arrival = heard(two, 'message');
  await watching.publish(1);
  await arrival;
  assert.deepEqual([received, one.received], [[1], []]);
  const left = heard(watching, 'left');
  await two.leave();
  await left;
});

test('a token-only channel takes the token for it, and no other', async (t) => {
  const ada = await user(t, 'ada');
  const refused = async (claims) => {
    const name = `$${fresh('chat')}`;
    const given = typeof claims === 'string' ? claims : token({ channel: name, ...claims });
    return (await heard(ada.channel(name, { token: given }), 'unsubscribed')).reason.code;
  };
  assert.equal(await refused({ sub: 'ada', channel: '$chat:another' }), 103);
  assert.equal(await refused({ sub: 'bob' }), 103);
  assert.equal(await refused('nonsense'), 103);
  const name = `$${fresh('chat')}`;
  const asked = [];
  const getToken = ({ channel }) => {
    asked.push(channel);
    return token({ sub: 'ada', channel });
  };
  const room = await subscribed(ada, name, { getToken });
  await room.publish('in');
  await until(room, 'message', () => room.received.length === 1, 'the message');
  assert.deepEqual(asked, [name]);
});

test('a subscription token is refreshed before it expires', async (t) => {
  const ada = await user(t, 'ada');
  let fetched = 0;
  const waiting = [];
  const getToken = ({ channel }) => {
    fetched += 1;
    waiting.splice(0).forEach((look) => look());
    return token({ sub: 'ada', channel, ttl: 2 });
  };
  const room = await subscribed(ada, `$${fresh('chat')}`, { getToken });
  const left = [];
  room.on('subscribing', (event) => left.push(event));
  while (fetched < 3) await new Promise((done) => waiting.push(done));
  assert.deepEqual(left, []);
  assert.equal(room.state.status, 'subscribed');
});

test('a call can be given up with a signal', async (t) => {
  const ada = await user(t, 'ada');
  const reason = new Error('changed my mind');
  const given = new AbortController();
  const call = ada.rpc('echo', 1, { signal: given.signal });
  given.abort(reason);
  await assert.rejects(call, reason);
  assert.deepEqual(await ada.rpc('echo', 2), 2);
});
