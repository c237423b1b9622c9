// One's own messages while they wait: shown, and replaced by what the channel brings, once.

import assert from "node:assert/strict";
import test, { afterEach } from "node:test";
import { silence } from "./support/server.mjs";
import { client, serve } from "./support/setup.mjs";
import { Shelf, ShelfStorage } from "./support/shelf.mjs";
import { connected, next, rejection, take, until } from "./support/waiting.mjs";

const server = await serve();
let named = 0;
const fresh = () => `echo:${(named += 1)}`;
const tell = ({ type, state, data, offset }) => [type === "gap" ? type : state, data, offset];

/** A server whose publications carry the ids of their messages, and whose answers tell the place. */
const homing = () => {
  server.connectResult = {
    homing: { version: 1, capabilities: ["producers", "publish-position"], limits: { dedupe_window: 3600, in_flight: 16 }, user: "ada" },
  };
  server.answers.publish = ({ channel, data, homing: { id } }, session) => {
    const log = server.log(channel);
    const pub = { data, id, offset: log.length + 1 };
    log.push(pub);
    if (session.channels.has(channel) && !server.withholds) session.push({ channel, pub });
    return { epoch: "e1", offset: pub.offset, time: 7 };
  };
};
/** A loop over a channel of such a server. */
const looping = async () => {
  homing();
  const it = client(server);
  it.connect();
  const room = it.channel(fresh());
  const loop = room.messages({ echo: true });
  await next(room, "subscribed");
  return { room, loop };
};
/** A server that knows nothing of it. */
afterEach(() => {
  server.connectResult = {};
  server.withholds = false;
  delete server.answers.publish;
});

test("a message is pending, then sent under the same id, once, in its place among the others'", async () => {
  const { room, loop } = await looping();
  // Another's message comes between the acknowledgement and one's own copy.
  server.withholds = true;
  server.publish(room.name, "theirs", { quietly: true });
  const sending = room.publish("mine");
  const [pending] = await take(loop, 1);
  assert.deepEqual(tell(pending), ["pending", "mine", 0]);
  assert.equal(pending.id, sending.id);
  assert.equal((await sending).offset, 2);
  for (const pub of server.log(room.name)) server.session.push({ channel: room.name, pub });
  const rest = await take(loop, 2);
  assert.deepEqual(rest.map(tell), [["sent", "theirs", 1], ["sent", "mine", 2]]);
  assert.equal(rest[1].id, sending.id);
  server.withholds = false;
  // A loop that asks late is spared what is past.
  await room.publish("again");
  assert.deepEqual((await take(loop, 1)).map(tell), [["sent", "again", 3]]);
  server.publish(room.name, "end");
  assert.deepEqual((await take(loop, 1)).map(tell), [["sent", "end", 4]]);
});

test("what comes through the channel before its acknowledgement is not shown twice", async () => {
  const { room, loop } = await looping();
  const answer = server.answers.publish;
  server.answers.publish = (...given) => {
    answer(...given);
    return silence();
  };
  const sending = room.publish("early");
  const [pending, sent] = await take(loop, 2);
  assert.deepEqual([pending, sent].map(tell), [["pending", "early", 0], ["sent", "early", 1]]);
  assert.equal(sent.id, sending.id);
  server.answers.publish = () => ({ epoch: "e1", offset: 1, time: 7, duplicate: true });
  server.session.cut();
  assert.equal((await sending).duplicate, true);
  server.publish(room.name, "end");
  assert.deepEqual((await take(loop, 1)).map(tell), [["sent", "end", 2]]);
});

test("an acknowledged message that lies in a gap is sent all the same", async () => {
  const { room, loop } = await looping();
  server.withholds = true;
  const dropped = room.publish("dropped");
  assert.deepEqual((await take(loop, 1)).map(tell), [["pending", "dropped", 0]]);
  await dropped;
  server.withholds = false;
  server.logs.set(room.name, [{ data: "x", offset: 2 }]);
  server.session.push({ channel: room.name, pub: { data: "x", offset: 2 } });
  const got = await take(loop, 3);
  assert.deepEqual(got.map(tell), [
    ["gap", undefined, undefined],
    ["sent", "dropped", 1],
    ["sent", "x", 2],
  ]);
});

test("on a plain server, which carries no ids, one's own copy is known by sender and content", async () => {
  const it = client(server);
  it.connect();
  const { client: own } = await connected(it);
  const room = it.channel(fresh());
  const loop = room.messages({ echo: true });
  await next(room, "subscribed");
  for (const first of ["copy", "ack"]) {
    server.answers.publish = ({ channel, data }, session) => {
      const pub = { data, offset: server.log(channel).length + 1, info: { user: "ada", client: own } };
      server.log(channel).push(pub);
      if (first === "copy") session.push({ channel, pub });
      else setTimeout(() => session.push({ channel, pub }), 20);
      return {};
    };
    const sending = room.publish({ first });
    const seen = await take(loop, 1);
    await sending;
    while (seen.at(-1).info === null) seen.push(...(await take(loop, 1)));
    assert.ok(seen.every(({ id }) => id === sending.id));
    assert.deepEqual([seen[0].state, seen.at(-1).state], ["pending", "sent"]);
    assert.ok(seen.at(-1).offset > 0);
  }
});

test("edited, failed, retried and discarded ones are told under their ids, also before there is a history", async () => {
  homing();
  const it = client(server);
  const room = it.channel(fresh());
  const loop = room.messages({ last: 10, echo: true });
  it.connect();
  await connected(it);
  it.disconnect();
  server.publish(room.name, "old");
  const [one, two] = [room.publish("one"), room.publish("two")];
  const gone = rejection(two);
  assert.deepEqual((await take(loop, 2)).map(tell), [["pending", "one", 0], ["pending", "two", 0]]);
  it.outbox.find(one.id).edit("uno");
  it.outbox.find(two.id).discard();
  await gone;
  assert.deepEqual((await take(loop, 2)).map(tell), [["pending", "uno", 0], ["discarded", "two", 0]]);
  const takes = server.answers.publish;
  server.answers.publish = () => ({ error: { code: 103, message: "no" } });
  const refused = rejection(one);
  it.connect();
  await refused;
  const got = await take(loop, 2);
  assert.deepEqual(got.map(({ state, data }) => [state, data]).sort(), [["failed", "uno"], ["sent", "old"]]);
  const failed = got.find(({ state }) => state === "failed");
  assert.equal(failed.failure.code, 103);
  server.answers.publish = takes;
  const again = it.outbox.find(failed.id).retry();
  const end = await take(loop, 3);
  assert.deepEqual(end.map(({ id, state }) => [id, state]), [
    [failed.id, "discarded"],
    [again.id, "pending"],
    [again.id, "sent"],
  ]);
});

test("what an earlier life has stored is shown, sent and ticked off", async () => {
  homing();
  const shelf = new Shelf();
  const options = { storage: new ShelfStorage(shelf), user: "ada" };
  const name = fresh();
  const first = client("ws://127.0.0.1:1/", { ...options, storageName: "s" });
  first.connect();
  const typed = first.channel(name).publish("typed offline");
  assert.deepEqual(await typed.stored, { durably: true });
  const closed = rejection(typed);
  await first.close();
  assert.equal((await closed).name, "closed");

  const second = client(server, { storage: new ShelfStorage(shelf), user: "ada", storageName: "s" });
  const room = second.channel(name);
  const heard = [];
  room.on("echo", (message) => heard.push(tell(message)));
  const loop = room.messages({ last: 5, echo: true });
  second.connect();
  const got = await take(loop, 2);
  assert.deepEqual(got.map(tell), [["pending", "typed offline", 0], ["sent", "typed offline", 1]]);
  assert.ok(got.every(({ id }) => id === typed.id));
  await until(() => heard.length === 2, "the event");
  assert.deepEqual(heard, [["pending", "typed offline", 0], ["sent", "typed offline", 1]]);
  assert.equal(second.outbox.size.count, 0);
});

test("a loop that ended and a handle that was left echo nothing more", async () => {
  const it = client(server);
  it.connect();
  await connected(it);
  const room = it.channel(fresh());
  const heard = [];
  room.on("echo", (message) => heard.push(message));
  const loop = room.messages({ echo: true });
  await room.publish(1);
  await until(() => heard.length === 2, "pending and sent");
  await loop.return();
  await room.leave();
  await it.channel(room.name).publish(2);
  assert.equal(heard.length, 2);
});
