// The outbox on real servers: what is published without a network, what becomes of messages whose answers are lost or
// that are refused, and what an app can do to them. Where the server knows no producers the SDK says so, and never
// sends twice what may have arrived.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keeps, plain, Server } from '../support/processes.mjs';
import {
  came, client, connected, count, data, eventually, fresh, log, network, parted, reached, rejection, subscribed, token, until,
} from './support/clients.mjs';

const { server, proxy } = await network(plain ? {} : { 'message-size': 400 });

/** A reader on a sound link, subscribed, and a writer behind the proxy. */
const pair = async (t, namespace, options = {}) => {
  t.after(() => proxy.tell('clear'));
  const reader = await connected(t, server.url, { token: token({ sub: 'reader' }) });
  const room = await subscribed(reader, fresh(namespace));
  const writer = await connected(t, proxy.url, { token: token({ sub: 'writer' }), ...options });
  return { room, reader, writer, out: writer.channel(room.name) };
};

const down = async (writer) => {
  await proxy.tell('down');
  await parted(writer);
};

/** A server of the test's own, for it to break; a reader and a writer. */
const frail = async (t) => {
  const other = await Server.start();
  t.after(() => other.kill());
  const reader = await connected(t, other.url, { token: token({ sub: 'reader' }) });
  const room = await subscribed(reader, fresh('asked'));
  const writer = await connected(t, other.url, { token: token({ sub: 'writer' }) });
  return { other, room, writer, out: writer.channel(room.name) };
};

/** The answers are lost, then the connection: whoever waits for one does not know. */
const loseAnswers = async (t, room, send, total) => {
  await proxy.tell('drop down');
  const sendings = send();
  const ends = Promise.allSettled(sendings);
  await came(room, total);
  await proxy.tell('reset');
  await proxy.tell('clear');
  return { sendings, ends };
};

test('the session says what a publish is worth here', async (t) => {
  const { capabilities, dedupeWindow } = (await connected(t, server.url)).state;
  assert.deepEqual([capabilities.includes('producers'), dedupeWindow > 0], [!plain, !plain]);
});

test('what is published without a network is kept, leaves with it, and is acked with its place', async (t) => {
  const { room, writer, out } = await pair(t, 'chat');
  await down(writer);
  const before = Date.now();
  const sendings = count(1, 3).map((n) => out.publish(n));
  for (const { stored } of sendings) assert.deepEqual(await stored, { durably: false });
  assert.deepEqual(writer.outbox.entries.map(({ id, state, wasSent }) => [id, state, wasSent]), sendings.map(({ id }) => [id, 'queued', false]));
  const changes = [];
  writer.outbox.on('change', ({ type, entry, position }) => type === 'acked' && changes.push([entry.id, position?.offset ?? null]));
  await proxy.tell('clear');
  const acks = await Promise.all(sendings);
  await came(room, 3);
  assert.deepEqual(data(room), [1, 2, 3]);
  assert.deepEqual(writer.outbox.entries, []);
  if (plain) {
    assert.deepEqual(acks, sendings.map(() => ({ epoch: '', offset: 0, time: 0, duplicate: false })));
    assert.deepEqual(changes, sendings.map(({ id }) => [id, null]));
    return;
  }
  for (const [at, { epoch, offset, time, duplicate }] of acks.entries()) {
    assert.deepEqual([epoch, offset, duplicate], [room.opened.position.epoch, at + 1, false]);
    assert.ok(time >= before - 1000 && time <= Date.now() + 1000, `${time} is about now`);
  }
  assert.deepEqual(room.received.map(({ id }) => id), sendings.map(({ id }) => id));
  assert.deepEqual(changes, sendings.map(({ id }, at) => [id, at + 1]));
});

test('every channel keeps its order, with many under way, through cuts', async (t) => {
  const { reader, writer } = await pair(t, 'chat');
  const names = count(1, 5).map(() => fresh('chat'));
  const rooms = await Promise.all(names.map((name) => subscribed(reader, name)));
  const publish = (from, to) => count(from, to).flatMap((n) => names.map((name) => writer.channel(name).publish(n)));
  const ends = [Promise.allSettled(publish(1, 40))];
  await down(writer);
  ends.push(Promise.allSettled(publish(41, 60)));
  await proxy.tell('clear');
  ends.push(Promise.allSettled(publish(61, 100)));
  const told = (await Promise.all(ends)).flat();
  const lost = told.filter(({ status }) => status === 'rejected').map(({ reason }) => reason.name);
  // Nobody knows what was under way when the plain server was cut off, and nothing else is lost.
  assert.ok(lost.every((name) => plain && name === 'outcome_unknown'), lost.join());
  for (const [at, room] of rooms.entries()) {
    const sure = count(1, 100).filter((_, n) => told[n * 5 + at].status === 'fulfilled');
    await eventually(() => data(room).at(-1) === 100, 'the last one');
    const arrived = data(room);
    assert.deepEqual(arrived, count(1, 100).filter((n) => arrived.includes(n)));
    assert.deepEqual(sure.filter((n) => !arrived.includes(n)), []);
  }
});

test('a channel that hangs holds up no other one, and goes on in its order', async (t) => {
  const { room, writer, out } = await pair(t, 'asked');
  t.after(() => server.release(room.name));
  await server.hold(room.name);
  let acked = 0;
  const held = count(1, 40).map((n) => out.publish(n));
  for (const sending of held) sending.then(() => (acked += 1), () => {});
  await Promise.all(count(1, 40).flatMap((n) => ['chat', 'asked'].map((one) => writer.channel(`${one}:free-${room.name}`).publish(n))));
  assert.deepEqual([acked, room.received.length, writer.outbox.size.count], [0, 0, 40]);
  assert.equal(writer.outbox.entries[0].state, 'sending');
  await server.release(room.name);
  await Promise.all(held);
  await came(room, 40);
  assert.deepEqual(data(room), count(1, 40));
});

test('messages whose answers were lost are in the log once, and the end is told', async (t) => {
  const { room, writer, out } = await pair(t, 'chat');
  const publish = () => count(1, 30).map((n) => out.publish(n));
  // So many may be under way; the others wait for answers.
  const { sendings, ends } = await loseAnswers(t, room, publish, 16);
  const told = await ends;
  await out.publish('end');
  await until(room, 'message', () => data(room).at(-1) === 'end', 'the last one');
  assert.deepEqual(data(room), [...count(1, 30), 'end']);
  assert.deepEqual(await log(room), [...count(1, 30), 'end']);
  const parked = writer.outbox.entries;
  if (plain) {
    assert.deepEqual(told.map(({ reason }) => reason?.name), sendings.map((_, at) => (at < 16 ? 'outcome_unknown' : undefined)));
    assert.deepEqual(parked.map(({ id, state }) => [id, state]), sendings.slice(0, 16).map(({ id }) => [id, 'parked']));
    return;
  }
  assert.deepEqual(told.map(({ value }) => [value?.offset, value?.duplicate]), sendings.map((_, at) => [at + 1, at < 16]));
  assert.deepEqual(parked, []);
});

if (plain) {
  test('what may have arrived is sent again where the app chose so, and comes at least once', async (t) => {
    const { room, out } = await pair(t, 'chat', { resend: true });
    const { ends } = await loseAnswers(t, room, () => count(1, 8).map((n) => out.publish(n)), 8);
    for (const { value } of await ends) assert.equal(value?.duplicate, false);
    await came(room, 16);
    assert.deepEqual(data(room), [...count(1, 8), ...count(1, 8)]);
  });

  test('an unknown end is retried by the app alone, or given up', async (t) => {
    const { room, writer, out } = await pair(t, 'chat');
    const { ends } = await loseAnswers(t, room, () => ['one', 'two'].map((text) => out.publish(text)), 2);
    for (const { reason } of await ends) assert.deepEqual([reason.name, reason.retryable], ['outcome_unknown', false]);
    const [one, two] = writer.outbox.entries;
    assert.deepEqual([one.wasSent, one.reason.name], [true, 'outcome_unknown']);
    two.discard();
    await one.retry();
    await came(room, 3);
    assert.deepEqual(data(room), ['one', 'two', 'one']);
    assert.deepEqual(writer.outbox.entries, []);
  });
} else {
  test('answers lost by dice and cuts again and again leave every message in the log once, in order', async (t) => {
    const { room, writer, out } = await pair(t, 'long', { requestTimeout: 200 });
    const sendings = count(1, 120).map((n) => out.publish(n));
    let settled = 0;
    for (const sending of sendings) sending.then(() => (settled += 1), () => {});
    const another = (before) => writer.state.status === 'connected' && writer.state.client !== before;
    for (let seed = 1; settled < 120; seed += 1) {
      const [seen, before] = [settled, writer.state.client];
      await proxy.tell(`lose-acks 30 ${seed}`);
      // Where the answer that the others wait for is lost, the client ends the connection itself.
      await eventually(() => settled >= Math.min(seen + 15, 120) || another(before), 'more acks or another connection');
      if (!another(before)) await proxy.tell('reset');
      await eventually(() => settled === 120 || another(before), 'another connection');
    }
    const acks = await Promise.all(sendings);
    assert.deepEqual(acks.map(({ offset }) => offset), count(1, 120));
    assert.ok(acks.some(({ duplicate }) => duplicate));
    await came(room, 120);
    assert.deepEqual(data(room), count(1, 120));
    assert.equal(writer.outbox.size.count, 0);
  });

  test('a message that turns out too large for the server is parked alone, and leaves once it is shorter', async (t) => {
    const { room, writer, out } = await pair(t, 'chat');
    assert.equal(writer.state.maxMessageBytes, 400);
    const limit = { actual: 502, maximum: 400 };
    assert.throws(() => out.publish('x'.repeat(500)), { name: 'message_too_large', limit });
    const later = client(t, server.url, { token: token({ sub: 'later' }) });
    const [large, small] = ['x'.repeat(500), 'small'].map((text) => later.channel(room.name).publish(text));
    const refused = rejection(large);
    later.connect();
    await small;
    assert.deepEqual([(await refused).name, (await refused).limit], ['message_too_large', limit]);
    const [entry] = later.outbox.entries;
    assert.deepEqual([entry.id, entry.state, entry.reason.name], [large.id, 'parked', 'message_too_large']);
    assert.throws(() => entry.retry(), { name: 'message_too_large' });
    await entry.retry('short');
    await came(room, 2);
    assert.deepEqual(data(room), ['small', 'short']);
  });
}

test('a refused message is parked alone with its reason; those around it keep their order', async (t) => {
  const { room, writer, out } = await pair(t, 'asked');
  const words = count(1, 40).map((n) => (n % 8 === 0 ? 'refused' : n));
  const ends = await Promise.allSettled(words.map((word) => out.publish(word)));
  assert.deepEqual(ends.map(({ reason }) => reason?.code), words.map((word) => (word === 'refused' ? 403 : undefined)));
  await came(room, 35);
  assert.deepEqual(data(room), words.filter((word) => word !== 'refused'));
  const parked = writer.outbox.entries;
  assert.deepEqual(parked.map(({ data, state, wasSent }) => [data, state, wasSent]), count(1, 5).map(() => ['refused', 'parked', true]));
  for (const { reason } of parked) assert.deepEqual([reason.name, reason.code, reason.retryable], ['application', 403, false]);
  const [first, second, ...rest] = parked;

  // As it is, and as another one.
  assert.throws(() => first.edit('better'), { name: 'already_sent' });
  const again = first.retry();
  assert.notEqual(again.id, first.id);
  assert.equal((await rejection(again)).code, 403);
  const mended = second.retry('mended');
  assert.notEqual(mended.id, second.id);
  await mended;
  assert.throws(() => second.retry(), { name: 'not_in_outbox' });
  await came(room, 36);
  assert.equal(data(room).at(-1), 'mended');
  for (const entry of [...rest, writer.outbox.find(again.id)]) entry.discard();
  assert.deepEqual(writer.outbox.size, { count: 0, bytes: 0, oldestAge: 0 });
  const elsewhere = [writer.channel(fresh('closed')), writer.channel('nowhere:room')].map((channel) => rejection(channel.publish(1)));
  assert.deepEqual((await Promise.all(elsewhere)).map(({ name }) => name), ['permission_denied', 'unknown_channel']);
});

test('what was never sent can be edited and taken back, what was handed to a socket can not', async (t) => {
  const { room, writer, out } = await pair(t, 'asked');
  await down(writer);
  const [one, two, three] = ['one', 'two', 'three'].map((text) => out.publish(text));
  const gone = rejection(two);
  writer.outbox.find(one.id).edit('uno');
  writer.outbox.find(two.id).discard();
  assert.equal((await gone).name, 'cancelled');
  const abort = new AbortController();
  const aborted = rejection(out.publish('four', { signal: abort.signal }));
  abort.abort(new Error('changed my mind'));
  assert.equal((await aborted).message, 'changed my mind');
  t.after(() => server.release(room.name));
  await server.hold(room.name);
  await proxy.tell('clear');
  const sent = await eventually(() => writer.outbox.entries.every(({ state }) => state === 'sending') && writer.outbox.entries, 'both to be sent');
  assert.deepEqual(sent.map(({ id, data, wasSent }) => [id, data, wasSent]), [[one.id, 'uno', true], [three.id, 'three', true]]);
  for (const entry of sent) {
    assert.throws(() => entry.edit('late'), { name: 'already_sent' });
    assert.throws(() => entry.discard(), { name: 'already_sent' });
    assert.throws(() => entry.retry(), { name: 'not_parked' });
  }
  await server.release(room.name);
  await Promise.all([one, three]);
  await came(room, 2);
  assert.deepEqual(data(room), ['uno', 'three']);
});

test('the limits hold: a count, bytes and an age, each told, and room again behind them', async (t) => {
  const { room, writer, out } = await pair(t, 'chat', { maxOutbox: 4, maxOutboxBytes: 100, maxMessageBytes: 60 });
  await down(writer);
  const kept = [1, 2, 3, 4].map((n) => out.publish(n));
  assert.throws(() => out.publish(5), { name: 'queue_full', limit: { actual: 5, maximum: 4 } });
  writer.outbox.find(kept[3].id).edit('x'.repeat(50));
  writer.outbox.find(kept[2].id).discard();
  await rejection(kept[2]);
  assert.throws(() => out.publish('y'.repeat(50)), { name: 'queue_full', limit: { actual: 106, maximum: 100 } });
  assert.throws(() => out.publish('z'.repeat(60)), { name: 'message_too_large', limit: { actual: 62, maximum: 60 } });
  assert.throws(() => writer.outbox.find(kept[0].id).edit('z'.repeat(60)), { name: 'message_too_large' });
  assert.deepEqual([writer.outbox.size.count, writer.outbox.size.bytes], [3, 54]);
  await proxy.tell('clear');
  await Promise.all([kept[0], kept[1], kept[3]]);
  await out.publish(5);
  await came(room, 4);
  assert.deepEqual(data(room), [1, 2, 'x'.repeat(50), 5]);
});

test('what has waited too long is parked, does not leave by itself, and can be sent after all', async (t) => {
  const { room, writer, out } = await pair(t, 'chat', { outboxAge: 20 });
  await down(writer);
  const late = rejection(out.publish('late'));
  assert.deepEqual([(await late).name, (await late).retryable], ['outbox_expired', true]);
  await proxy.tell('clear');
  await reached(writer, 'connected');
  await out.publish('in time');
  const [entry] = writer.outbox.entries;
  assert.deepEqual([entry.data, entry.state, entry.wasSent], ['late', 'parked', false]);
  await entry.retry();
  await came(room, 2);
  assert.deepEqual(data(room), ['in time', 'late']);
});

test('an ephemeral message is now or never, and never twice', async (t) => {
  const { room, writer, out } = await pair(t, 'chat');
  await out.publish('now', { ephemeral: true });
  const { ends } = await loseAnswers(t, room, () => [out.publish('typing', { ephemeral: true })], 2);
  assert.equal((await ends)[0].reason?.name, 'outcome_unknown');
  await down(writer);
  const refused = rejection(out.publish('never', { ephemeral: true }));
  assert.equal(writer.outbox.size.count, 0);
  assert.equal((await refused).name, 'not_sent');
  await proxy.tell('clear');
  await out.publish('end');
  await came(room, 3);
  assert.deepEqual(data(room), ['now', 'typing', 'end']);
});

test('a server that is started anew between publishes ends each message, and tells what it no longer has', async (t) => {
  const { other, room, writer, out } = await frail(t);
  const lost = [];
  out.on('acked_lost', (event) => lost.push(event));
  await out.publish(1);
  await came(room, 1);
  await other.hold(room.name);
  const underWay = out.publish(2);
  await eventually(() => writer.outbox.find(underWay.id)?.state === 'sending', 'it to be sent');
  const end = Promise.allSettled([underWay]);
  await other.kill();
  await parted(writer);
  const waiting = out.publish(3);
  await other.start();
  const [{ value, reason }] = await end;
  await waiting;
  // Whoever keeps numbers over the restart knows that the second one never came.
  assert.deepEqual([value?.duplicate, reason?.name], keeps ? [false, undefined] : [undefined, 'outcome_unknown']);
  await came(room, keeps ? 3 : 2);
  assert.deepEqual(data(room), keeps ? [1, 2, 3] : [1, 3]);
  assert.deepEqual(room.gaps.map((gap) => gap.reason), keeps ? [] : ['epoch_changed']);
  assert.deepEqual(writer.outbox.entries.map(({ data }) => data), keeps ? [] : [2]);
  const { epoch } = room.opened.position;
  const told = { type: 'acked_lost', channel: room.name, count: 1, from: { epoch, offset: 1 }, to: { epoch, offset: 1 } };
  // A plain server's answer names no place, and the gap is all that it tells.
  assert.deepEqual(lost, keeps || plain ? [] : [told]);
});

if (!plain) {
  test('a server that loses its data tells the writer what is gone, and how each message under way has ended', async (t) => {
    const { other, room, writer, out } = await frail(t);
    const lost = [];
    writer.on('acked_lost', ({ channel, count, from, to }) => lost.push([channel, count, from.offset, to.offset]));
    await Promise.all(count(1, 5).map((n) => out.publish(n)));
    await came(room, 5);
    await other.hold(room.name);
    const underWay = count(6, 8).map((n) => out.publish(n));
    await eventually(() => writer.outbox.entries.filter(({ state }) => state === 'sending').length === 3, 'them to be sent');
    const ends = Promise.allSettled(underWay);
    await other.lose();
    // One that was started anew holds nothing up.
    await other.release(room.name);
    const told = (await ends).map(({ value, reason }) => value?.offset ?? reason.name);
    // Whoever answered on the same connection has not written them before; who has died may have.
    assert.deepEqual(told, keeps ? [1, 2, 3] : count(6, 8).map(() => 'outcome_unknown'));
    const { epoch, offset } = await out.publish('after');
    const left = [...(keeps ? count(6, 8) : []), 'after'];
    await came(room, 5 + left.length);
    assert.deepEqual(data(room), [...count(1, 5), ...left]);
    assert.notEqual(epoch, room.opened.position.epoch);
    assert.deepEqual([offset, lost], [left.length, [[room.name, 5, 1, 5]]]);
    assert.deepEqual(room.gaps.map(({ reason }) => reason), ['epoch_changed']);
    assert.deepEqual(writer.outbox.entries.map(({ data, state }) => [data, state]), keeps ? [] : count(6, 8).map((n) => [n, 'parked']));
  });
}
