// One's own messages on real servers, shown while they wait and replaced in place by what the channel brings: by their
// ids, or on a plain server by connection and content.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Shelf, ShelfStorage } from '../../../js/test/support/shelf.mjs';
import { plain } from '../support/processes.mjs';
import { client, connected, count, eventually, fresh, network, parted, reached, rejection, subscribed, token } from './support/clients.mjs';

const { server, proxy } = await network();

/** What a page would show: a line for each message, replaced by what comes under its id. */
class Page {
  lines = new Map();
  shown = [];

  constructor(loop) {
    this.over = (async () => {
      for await (const item of loop) {
        this.shown.push([item.state ?? item.type, item.data]);
        const { id, state, data } = item;
        // Others' messages have no ids on a plain server.
        const key = id || `at ${item.offset}`;
        if (state === 'discarded') this.lines.delete(key);
        else this.lines.set(key, { id, state, data, offset: item.offset, failure: item.failure?.name });
      }
    })();
  }

  get picture() {
    return [...this.lines.values()].map(({ state, data }) => [state, data]);
  }

  shows(...expected) {
    return eventually(() => JSON.stringify(this.picture) === JSON.stringify(expected), JSON.stringify(expected)).catch((error) => {
      throw new Error(`${error.message}; it shows ${JSON.stringify(this.picture)}`);
    });
  }
}

/** A page behind the proxy, and a friend on a sound link. */
const pair = async (t, namespace = 'chat') => {
  t.after(() => proxy.tell('clear'));
  const me = await connected(t, proxy.url, { token: token({ sub: 'me' }) });
  const room = me.channel(fresh(namespace));
  const page = new Page(room.messages({ last: 50, echo: true }));
  await reached(room, 'subscribed');
  const friend = (await connected(t, server.url, { token: token({ sub: 'friend' }) })).channel(room.name);
  return { me, room, page, friend };
};

test('what is written without a network is shown with a clock, and gets its tick in its place', async (t) => {
  const { me, room, page, friend } = await pair(t);
  await room.publish('hello');
  await page.shows(['sent', 'hello']);
  await proxy.tell('down');
  await parted(me);
  const sendings = ['one', 'two', 'three'].map((text) => room.publish(text));
  await page.shows(['sent', 'hello'], ['pending', 'one'], ['pending', 'two'], ['pending', 'three']);
  await friend.publish('from the friend');
  me.outbox.find(sendings[0].id).edit('uno');
  me.outbox.find(sendings[1].id).discard();
  await rejection(sendings[1]);
  await page.shows(['sent', 'hello'], ['pending', 'uno'], ['pending', 'three']);
  await proxy.tell('clear');
  await page.shows(['sent', 'hello'], ['sent', 'uno'], ['sent', 'three'], ['sent', 'from the friend']);
  assert.deepEqual([...page.lines.values()].map(({ offset }) => offset), [1, 3, 4, 2]);
  for (const { id } of [sendings[0], sendings[2]]) assert.ok(page.lines.has(id));
  // Where the answer tells no place it comes before the copy from the channel, which replaces it.
  if (!plain) assert.deepEqual(page.shown.map(([state]) => state).filter((state) => state === 'sent').length, 4);
});

test('many of one content are each shown once, and so are those of a friend', async (t) => {
  const { room, page, friend } = await pair(t);
  const sendings = count(1, 30).map(() => room.publish('same'));
  const theirs = count(1, 10).map(() => friend.publish('same'));
  await Promise.all([...sendings, ...theirs]);
  await eventually(() => page.lines.size >= 40 && page.picture.every(([state]) => state === 'sent'), 'all of them');
  await room.publish('end');
  await eventually(() => page.picture.at(-1)[1] === 'end' && page.picture.at(-1)[0] === 'sent', 'the last one');
  assert.equal(page.lines.size, 41);
  assert.deepEqual([...page.lines.values()].map(({ offset }) => offset).sort((one, other) => one - other), count(1, 41));
});

test('a refused one is shown with its reason, and gives way to another try', async (t) => {
  const { me, room, page } = await pair(t, 'asked');
  const refused = room.publish('refused');
  const good = room.publish('good');
  assert.equal((await rejection(refused)).code, 403);
  await good;
  await page.shows(['failed', 'refused'], ['sent', 'good']);
  assert.equal(page.lines.get(refused.id).failure, 'application');
  const again = me.outbox.find(refused.id).retry('mended');
  await again;
  await page.shows(['sent', 'good'], ['sent', 'mended']);
  assert.ok(page.lines.has(again.id));
});

test('one whose answer was lost is not shown twice', async (t) => {
  const { me, room, page } = await pair(t);
  await proxy.tell('drop down');
  const sending = room.publish('once');
  const witness = await subscribed(await connected(t, server.url), room.name, { since: { epoch: room.state.position.epoch, offset: 0 } });
  await eventually(() => witness.received.length === 1, 'it to arrive');
  const end = sending.catch((error) => error);
  await proxy.tell('reset');
  await proxy.tell('clear');
  if (plain) {
    // Nobody can tell whose it is: the page shows what it knows of both.
    assert.equal((await end).name, 'outcome_unknown');
    await page.shows(['failed', 'once'], ['sent', 'once']);
    me.outbox.find(sending.id).discard();
    await page.shows(['sent', 'once']);
    return;
  }
  assert.equal((await end).duplicate, true);
  await room.publish('end');
  await page.shows(['sent', 'once'], ['sent', 'end']);
  assert.deepEqual(page.shown.filter(([state]) => state === 'sent').length, 2);
});

test('what an earlier life has written is shown in the next one, and sent', async (t) => {
  const [shelf, name] = [new Shelf(), fresh('chat')];
  const life = (url) => client(t, url, { storage: new ShelfStorage(shelf), storageName: 'here', user: 'me', token: token({ sub: 'me' }) });
  const first = life('ws://127.0.0.1:1/');
  first.connect();
  const typed = count(1, 3).map((n) => first.channel(name).publish(n));
  const ends = Promise.allSettled(typed);
  await Promise.all(typed.map(({ stored }) => stored));
  await first.close();
  await ends;
  const second = life(server.url);
  const room = second.channel(name);
  const page = new Page(room.messages({ last: 10, echo: true }));
  const heardOf = [];
  room.on('echo', ({ id, state }) => heardOf.push([id, state]));
  await eventually(() => page.lines.size === 0, 'an empty page');
  second.connect();
  await page.shows(['sent', 1], ['sent', 2], ['sent', 3]);
  assert.deepEqual([...page.lines.keys()], typed.map(({ id }) => id));
  await eventually(() => heardOf.length === 6, 'the events');
  assert.deepEqual(heardOf, [...typed.map(({ id }) => [id, 'pending']), ...typed.map(({ id }) => [id, 'sent'])]);
  await second.close();
  await page.over;
});
