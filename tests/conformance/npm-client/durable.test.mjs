// Durable channels on real servers: after a restart a reader goes on where its app has come to, offline messages come
// before live ones, and what the server has no more is told before anything newer.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Shelf, ShelfStorage } from '../../../js/test/support/shelf.mjs';
import { Server } from '../support/processes.mjs';
import { client, connected, count, eventually, fresh, heard, token, within } from './support/clients.mjs';

let server;
before(async () => {
  server = await Server.start();
});
after(() => server?.kill());

const life = (t, shelf, to = server) => {
  const made = client(t, to.url, { storage: new ShelfStorage(shelf), storageName: 'here', user: 'ada', token: token({ sub: 'ada' }) });
  made.connect();
  return made;
};
const stored = (shelf, name) => JSON.parse(shelf.records(['here', 'ada']).get(`o/${name}`) ?? '{}').offset ?? 0;
const reaches = (shelf, name, offset) =>
  eventually(() => stored(shelf, name) === offset, `the stored offset ${offset}`).catch((error) => {
    throw new Error(`${error.message}; it is ${stored(shelf, name)}`);
  });

/** Publishes as the server, in order. */
const say = async (name, from, to, by = server) => {
  for (const n of count(from, to)) await by.publish(name, n);
};

/** Listens to a durable channel; messages are done at once, those that `works` names when their promise settles. */
const listening = async (one, name, options = {}, works = () => undefined) => {
  const room = one.channel(name, { durable: true, ...options });
  const seen = [];
  room.on('message', (message) => {
    seen.push(message.data);
    return works(message);
  });
  room.on('gap', ({ from, to, reason }) => seen.push([reason, from.offset, to.offset]));
  const subscribing = await heard(room, 'subscribed');
  return { room, seen, subscribing };
};

const sees = (seen, total) =>
  eventually(() => seen.length >= total, `${total} messages`).catch((error) => {
    throw new Error(`${error.message}; they are ${JSON.stringify(seen.slice(-20))}`);
  });

test('after a restart it goes on behind what listeners have finished, offline messages first', async (t) => {
  const [shelf, name] = [new Shelf(), fresh('chat')];
  await say(name, 1, 2);
  const first = life(t, shelf);
  let finish;
  const slow = new Promise((resolve) => (finish = resolve));
  const before = await listening(first, name, {}, ({ data }) => (data === 6 ? slow : undefined));
  await reaches(shelf, name, 2);
  await say(name, 3, 8);
  await sees(before.seen, 6);
  await reaches(shelf, name, 5);
  await first.close();
  finish();
  await say(name, 9, 40);

  const second = life(t, shelf);
  const { seen, subscribing } = await listening(second, name);
  assert.deepEqual([subscribing.wasRecovering, subscribing.missed], [true, 35]);
  await say(name, 41, 42);
  await sees(seen, 37);
  assert.deepEqual(seen, count(6, 42));
  await reaches(shelf, name, 42);
});

test('a crash costs nothing, and gives nothing but what was not finished again', async (t) => {
  const [shelf, name] = [new Shelf(), fresh('chat')];
  const { seen } = await listening(life(t, shelf), name, {}, ({ data }) => (data > 7 ? new Promise(() => {}) : undefined));
  await say(name, 1, 10);
  await sees(seen, 10);
  await reaches(shelf, name, 7);
  const again = await listening(life(t, shelf.copy()), name);
  await sees(again.seen, 3);
  assert.deepEqual(again.seen, count(8, 10));
});

test('more than one recovery brings is read page by page, before what is live', async (t) => {
  const [shelf, name] = [new Shelf(), fresh('long')];
  const first = life(t, shelf);
  await listening(first, name);
  await say(name, 1, 1);
  await reaches(shelf, name, 1);
  await first.close();
  const writer = (await connected(t, server.url, { token: token({ sub: 'writer' }) })).channel(name);
  await Promise.all(count(2, 950).map((n) => writer.publish(n)));
  const { seen } = await listening(life(t, shelf), name);
  await Promise.all(count(951, 1000).map((n) => writer.publish(n)));
  await sees(seen, 999);
  assert.deepEqual(seen, count(2, 1000));
  await reaches(shelf, name, 1000);
});

test('with manual acks nothing else moves the place', async (t) => {
  const [shelf, name] = [new Shelf(), fresh('chat')];
  const first = life(t, shelf);
  const heardOf = [];
  await listening(first, name, { ack: 'manual' }, (message) => void heardOf.push(message));
  await say(name, 1, 6);
  await eventually(() => heardOf.length === 6, 'six messages');
  heardOf[3].ack();
  await reaches(shelf, name, 4);
  heardOf[1].ack();
  await first.rpc('echo', 1);
  await first.close();
  assert.equal(stored(shelf, name), 4);
  const { room, seen } = await listening(life(t, shelf), name, { ack: 'manual' });
  await sees(seen, 2);
  assert.deepEqual(seen, [5, 6]);
  room.ack({ epoch: room.state.position.epoch, offset: 6 });
  await reaches(shelf, name, 6);
});

test('a loop has finished a message when it asks for the next', async (t) => {
  const [shelf, name] = [new Shelf(), fresh('chat')];
  const first = life(t, shelf);
  const room = first.channel(name, { durable: true });
  const loop = room.messages();
  await heard(room, 'subscribed');
  await say(name, 1, 5);
  for (const n of count(1, 3)) assert.equal((await within(10_000, loop.next(), `message ${n}`)).value.data, n);
  await reaches(shelf, name, 2);
  await first.close();
  const { seen } = await listening(life(t, shelf), name);
  await sees(seen, 3);
  assert.deepEqual(seen, [3, 4, 5]);
});

test('what retention has dropped is one gap with its range, and `reload` closes it before anything newer', async (t) => {
  const [shelf, name] = [new Shelf(), fresh('short')];
  const first = life(t, shelf);
  await listening(first, name);
  await say(name, 1, 3);
  await reaches(shelf, name, 3);
  await first.close();
  await say(name, 4, 12);

  const told = await listening(life(t, shelf.copy()), name);
  await sees(told.seen, 6);
  // The newest five are there.
  assert.deepEqual(told.seen, [['retention', 4, 7], ...count(8, 12)]);

  const ranges = [];
  let reloaded;
  const reloading = new Promise((resolve) => (reloaded = resolve));
  const reload = ({ from, to, reason }) => {
    ranges.push([reason, from.offset, to.offset]);
    return reloading;
  };
  const second = life(t, shelf);
  const { seen } = await listening(second, name, { reload });
  await sees(seen, 1);
  await say(name, 13, 14);
  await second.rpc('echo', 1);
  assert.deepEqual([ranges, seen], [[['retention', 4, 7]], [['retention', 4, 7]]]);
  assert.equal(stored(shelf, name), 3);
  reloaded();
  await sees(seen, 8);
  assert.deepEqual(seen, [['retention', 4, 7], ...count(8, 14)]);
  await reaches(shelf, name, 14);
});

test('data that the server has lost while the reader was away is told, and the new data is read from its beginning', async (t) => {
  const other = await Server.start();
  t.after(() => other.kill());
  const [shelf, name] = [new Shelf(), fresh('chat')];
  const first = life(t, shelf, other);
  await listening(first, name);
  await say(name, 1, 5, other);
  await reaches(shelf, name, 5);
  await first.close();
  await say(name, 6, 8, other);
  await other.lose();
  await say(name, 9, 11, other);
  const { seen } = await listening(life(t, shelf, other), name);
  await say(name, 12, 12, other);
  await sees(seen, 5);
  assert.deepEqual(seen.slice(1), count(9, 12));
  assert.equal(seen[0][0], 'epoch_changed');
  await reaches(shelf, name, 4);
});
