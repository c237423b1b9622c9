// Durable storage on real servers: a client that starts again goes on with what the one before had stored, tabs share
// it, and nobody sends what belongs to another user. The storage is one in memory that outlives its clients; a copy of
// it is what a crash leaves behind.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Shelf, ShelfStorage } from '../../../js/test/support/shelf.mjs';
import { plain } from '../support/processes.mjs';
import { came, client, connected, count, data, eventually, fresh, heard, log, network, reached, rejection, subscribed, token, within } from './support/clients.mjs';

const { server, proxy } = await network();

/** One life of a page of this user, over what the shelf keeps. The shelf knows the server under one name. */
const life = (t, shelf, user, { url = server.url, ...options } = {}) =>
  client(t, url, { storage: new ShelfStorage(shelf), storageName: 'here', user, token: token({ sub: user }), ...options });

const reading = async (t, namespace = 'chat') => {
  const reader = await connected(t, server.url, { token: token({ sub: 'reader' }) });
  return subscribed(reader, fresh(namespace));
};

/** Publishes on a client that was never connected, and ends it. */
const leaveBehind = async (t, shelf, user, name, texts) => {
  const first = life(t, shelf, user);
  const sendings = texts.map((text) => first.channel(name).publish(text));
  const ends = Promise.all(sendings.map((sending) => rejection(sending)));
  for (const entry of first.outbox.entries) assert.equal(entry.state, 'queued');
  first.connect();
  first.disconnect();
  for (const { stored } of sendings) assert.deepEqual(await within(10_000, stored, 'it to be stored'), { durably: true });
  await first.close();
  for (const { name } of await ends) assert.equal(name, 'closed');
  return sendings.map(({ id }) => id);
};

test('a client that starts again sends what was typed before, once and in order, under its ids', async (t) => {
  const [room, shelf] = [await reading(t), new Shelf()];
  const ids = await leaveBehind(t, shelf, 'ada', room.name, ['one', 'two', 'three']);
  const second = life(t, shelf, 'ada');
  const pictures = [];
  second.outbox.on('change', () => pictures.push(second.outbox.entries.map(({ id, wasSent }) => [id, wasSent])));
  second.connect();
  const fourth = second.channel(room.name).publish('four');
  await fourth;
  assert.deepEqual(pictures.find(({ length }) => length === 4), [...ids, fourth.id].map((id) => [id, false]));
  await came(room, 4);
  assert.deepEqual(data(room), ['one', 'two', 'three', 'four']);
  if (!plain) assert.deepEqual(room.received.slice(0, 3).map(({ id }) => id), ids);
  assert.deepEqual(second.outbox.entries, []);
});

test('what was under way in a crash is in the log once, and the end of each message is told', async (t) => {
  const [room, shelf] = [await reading(t), new Shelf()];
  t.after(() => proxy.tell('clear'));
  const first = life(t, shelf, 'ada', { url: proxy.url });
  first.connect();
  const out = first.channel(room.name);
  await out.publish('zero');
  await proxy.tell('drop down');
  const sendings = count(1, 20).map((n) => out.publish(n));
  const ends = Promise.allSettled(sendings);
  await Promise.all(sendings.map(({ stored }) => stored));
  await came(room, 17);
  const left = shelf.copy();
  await proxy.tell('down');

  const second = life(t, left, 'ada');
  const changes = new Map();
  second.outbox.on('change', ({ type, entry, position }) => changes.set(entry.id, [type, entry.state, position?.offset]));
  second.connect();
  await second.channel(room.name).publish('end');
  await came(room, 22);
  assert.deepEqual(data(room), ['zero', ...count(1, 20), 'end']);
  assert.deepEqual(await log(room), ['zero', ...count(1, 20), 'end']);
  const told = sendings.map(({ id }) => changes.get(id).slice(0, 2).join());
  if (plain) {
    assert.deepEqual(told, count(1, 20).map((n) => (n <= 16 ? 'state,parked' : 'acked,sending')));
    for (const { wasSent, reason } of second.outbox.entries) assert.deepEqual([wasSent, reason.name], [true, 'outcome_unknown']);
  } else {
    assert.deepEqual(told, sendings.map(() => 'acked,sending'));
    assert.deepEqual(sendings.map(({ id }) => changes.get(id)[2]), count(2, 21));
    // The dead one was not dead: what it holds is there already, and that it learns as far as the server's record goes.
    await proxy.tell('clear');
    for (const { value, reason } of await ends) assert.ok(value?.duplicate || ['fenced', 'outcome_unknown'].includes(reason.name));
    await second.channel(room.name).publish('last');
    await came(room, 23);
    assert.equal((await log(room)).length, 23);
  }
  await first.close();
  await ends;
});

test('two tabs on one storage send their own messages, and the one that stays those of the one that goes', async (t) => {
  const [room, shelf] = [await reading(t), new Shelf()];
  const tabs = [life(t, shelf, 'ada'), life(t, shelf, 'ada')];
  for (const tab of tabs) tab.connect();
  await Promise.all(tabs.map((tab) => reached(tab, 'connected')));
  await Promise.all(tabs.flatMap((tab, at) => count(1, 20).map((n) => tab.channel(room.name).publish([at, n]))));
  await came(room, 40);
  for (const at of [0, 1]) assert.deepEqual(data(room).filter(([tab]) => tab === at).map(([, n]) => n), count(1, 20));

  const [goes, stays] = tabs;
  goes.disconnect();
  const left = count(21, 25).map((n) => goes.channel(room.name).publish([0, n]));
  const ends = Promise.all(left.map((sending) => rejection(sending)));
  await Promise.all(left.map(({ stored }) => stored));
  assert.deepEqual(stays.outbox.entries, []);
  const acked = new Set();
  stays.outbox.on('change', ({ type, entry }) => type === 'acked' && acked.add(entry.id));
  await goes.close();
  await ends;
  await came(room, 45);
  await eventually(() => acked.size === 5, 'the acks of what was left behind');
  assert.deepEqual([...acked], left.map(({ id }) => id));
  await stays.channel(room.name).publish('end');
  await came(room, 46);
  assert.deepEqual(data(room).slice(40), [...count(21, 25).map((n) => [0, n]), 'end']);
  assert.equal(new Set((await log(room)).map(String)).size, 46);
});

test("a user's messages never leave under another one, and leave when their own comes back", async (t) => {
  const [room, shelf] = [await reading(t), new Shelf()];
  await leaveBehind(t, shelf, 'ada', room.name, ["Ada's"]);
  const bob = life(t, shelf, 'bob');
  bob.connect();
  await reached(bob, 'connected');
  await bob.channel(room.name).publish("Bob's");
  assert.deepEqual(bob.outbox.entries, []);
  await bob.close();
  if (!plain) {
    // The page believes that it is Ada, and the server knows better.
    const wrong = life(t, shelf, 'ada', { token: token({ sub: 'bob' }) });
    const told = heard(wrong, 'error', ({ name }) => name === 'wrong_user');
    wrong.connect();
    await reached(wrong, 'connected');
    await told;
    await wrong.channel(room.name).publish("Bob's again");
    assert.deepEqual(wrong.outbox.entries, []);
    await wrong.close();
  }
  const others = plain ? ["Bob's"] : ["Bob's", "Bob's again"];
  await came(room, others.length);
  assert.deepEqual(data(room), others);
  const ada = life(t, shelf, 'ada');
  ada.connect();
  await came(room, others.length + 1);
  assert.deepEqual(data(room).at(-1), "Ada's");
  assert.equal(room.received.at(-1).info.user, 'ada');
  await eventually(() => ada.outbox.size.count === 0, 'the ack');
});

test('what is forgotten is neither kept nor sent', async (t) => {
  const [room, shelf] = [await reading(t), new Shelf()];
  await leaveBehind(t, shelf, 'ada', room.name, ['secret']);
  await leaveBehind(t, shelf, 'bob', room.name, ["Bob's"]);
  const gone = life(t, shelf, 'ada', { url: 'ws://127.0.0.1:1/' });
  gone.connect();
  await eventually(() => gone.outbox.size.count === 1, 'it to come back');
  await gone.close({ forget: true });
  assert.equal(shelf.records(['here', 'ada']).size, 0);
  for (const user of ['ada', 'bob']) {
    const again = life(t, shelf, user);
    again.connect();
    await again.channel(room.name).publish(`${user} is here`);
  }
  await came(room, 3);
  assert.deepEqual(data(room), ['ada is here', "Bob's", 'bob is here']);
});

test('a parked message outlives a restart with its reason, and can be sent then', async (t) => {
  const [room, shelf] = [await reading(t, 'asked'), new Shelf()];
  const first = life(t, shelf, 'ada');
  first.connect();
  const refused = first.channel(room.name).publish('refused');
  assert.equal((await rejection(refused)).code, 403);
  await first.close();
  const second = life(t, shelf, 'ada');
  second.connect();
  const entry = await eventually(() => second.outbox.find(refused.id), 'the parked one');
  assert.deepEqual([entry.data, entry.state, entry.wasSent, entry.reason.code], ['refused', 'parked', true, 403]);
  await entry.retry('mended');
  await came(room, 1);
  assert.deepEqual(data(room), ['mended']);
  await second.close();
  assert.deepEqual([...shelf.records(['here', 'ada']).keys()].filter((key) => key.startsWith('e/')), []);
});

test('a storage that fails is told, and messages go on from memory', async (t) => {
  const room = await reading(t);
  const storage = new ShelfStorage();
  const one = client(t, server.url, { storage, user: 'ada', token: token({ sub: 'ada' }) });
  one.connect();
  await one.channel(room.name).publish('stored');
  storage.failing = new Error('the disk is full');
  const told = heard(one, 'error', ({ name }) => name === 'storage_failed');
  const sending = one.channel(room.name).publish('from memory');
  assert.deepEqual(await sending.stored, { durably: false });
  assert.match((await told).message, /the disk is full/);
  await sending;
  await came(room, 2);
  assert.deepEqual(data(room), ['stored', 'from memory']);
});
