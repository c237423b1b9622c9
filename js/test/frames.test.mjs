// Lines are read the same whether the client parses them whole, by their data alone, or in the module.

import assert from "node:assert/strict";
import test from "node:test";
import { client, serve } from "./support/setup.mjs";
import { connected, next, until } from "./support/waiting.mjs";

const server = await serve();
let named = 0;

const joined = async () => {
  const it = client(server);
  it.connect();
  const name = `frames:${(named += 1)}`;
  const room = it.channel(name);
  const got = [];
  room.on("message", (message) => got.push(message));
  await next(room, "subscribed");
  return { it, name, got, session: server.session };
};

const info = { user: "u", client: "c" };
const payloads = [
  "1",
  "-0.5e3",
  "null",
  "true",
  '""',
  "{}",
  "[]",
  '"a \\"quoted\\" \\u00e4 \\n text"',
  '{"offset":7}',
  '{"a":{"b":{"c":[1,{"d":null}]}},"offset":7}',
  '",\\"offset\\":7}}}"',
  '{"s":",\\"offset\\":7}}}","t":"}}}"}',
  ' {"space" : [ 1 , 2 ] } ',
  '"häßlich 😀"',
  JSON.stringify("x".repeat(5000)),
];

/** Shapes of a publication around its data; each is JSON. */
const shapes = [
  (data, offset) => `{"data":${data},"offset":${offset}}`,
  (data, offset) => `{"offset":${offset},"data":${data}}`,
  (data, offset) => `{"data":${data},"info":${JSON.stringify(info)},"offset":${offset}}`,
  (data, offset) => `{"data":${data},"offset":${offset},"info":${JSON.stringify(info)}}`,
  (data, offset) => `{"data":${data},"tags":{"offset":"7"},"offset":${offset}}`,
  (data, offset) => `{"data":${data},"time":12,"offset":${offset}}`,
  (data, offset) => `{"data":${data},"offset":${offset} }`,
];

test("every shape of every payload arrives as JSON.parse reads it, one in a frame and many", async () => {
  for (const together of [1, 4]) {
    const { name, got, session } = await joined();
    const lines = [];
    for (let round = 0; round < 3; round += 1) {
      for (const payload of payloads) {
        for (const shape of shapes) {
          lines.push(`{"push":{"channel":"${name}","pub":${shape(payload, lines.length + 1)}}}`);
        }
      }
    }
    for (let at = 0; at < lines.length; at += together) session.send(...lines.slice(at, at + together));
    await until(() => got.length === lines.length, "all messages");
    lines.forEach((line, at) => {
      const { data, offset, time = 0, tags = null } = JSON.parse(line).push.pub;
      assert.deepEqual([got[at].data, got[at].offset, got[at].time, got[at].tags], [data, offset, time, tags], line);
      assert.equal(got[at].info?.user, line.includes('"user"') ? "u" : undefined, line);
    });
  }
});

test("what is not JSON ends the connection, however much it looks like a publication", async () => {
  const broken = [
    (name) => `{"push":{"channel":"${name}","pub":{"data":1,"offset":}}}`,
    (name) => `{"push":{"channel":"${name}","pub":{"data":1,"offset":02}}}`,
    (name) => `{"push":{"channel":"${name}","pub":{"data":,"offset":2}}}`,
    (name) => `{"push":{"channel":"${name}","pub":{"data":{"a":1,"offset":2}}}`,
    (name) => `{"push":{"channel":"${name}","pub":{"data":1,"offset":99999999999999999999}}}`,
  ];
  for (const make of broken) {
    const { it, name, got, session } = await joined();
    session.push({ channel: name, pub: { data: "fine", offset: 1 } });
    await until(() => got.length === 1, "the first message");
    session.send(make(name));
    await next(it, "state", ({ status }) => status === "connecting");
    assert.equal(got.length, 1);
    await connected(it);
    await it.close();
  }
});
