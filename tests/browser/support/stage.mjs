// What most tests of the chat begin and end with: the server and a browser, visitors who leave when their test ends,
// which fails if their pages had trouble, and whether in the end they all see the same.

import assert from 'node:assert/strict';
import { after, afterEach } from 'node:test';
import { closeBrowser, inOrder, openBrowser, Visitor } from './pages.mjs';
import { ChatServer, eventually } from './programs.mjs';

const open = [];

/** The server of a test file, and what is put in front of it: something with `address` and `stop`. */
export const stage = async (inFront) => {
  const [server] = await Promise.all([ChatServer.start(), openBrowser()]);
  const proxy = await inFront?.(server.address);
  afterEach(async () => {
    for (const visitor of open.splice(0)) await visitor.leave();
  });
  after(async () => {
    await closeBrowser();
    await proxy?.stop();
    await server.kill();
  });
  return { server, proxy };
};

/** Somebody who comes in by this address, and leaves with the test. */
export const enter = async (address, room, name, options) => {
  const visitor = await Visitor.enter(address, room, name, options);
  open.push(visitor);
  return visitor;
};

/** So many sentences of somebody. */
export const numbered = (who, count) => Array.from({ length: count }, (_, index) => `${who} ${index + 1}.`);

export const settled = (visitor) =>
  eventually(async () => (await visitor.messages()).every(({ state }) => state === 'sent'), `${visitor.name}'s messages to be sent`, 30_000);

/** All pages show the same, each message once, in the channel's order, and those of each of `expected` in their order. */
export const agree = async (visitors, expected) => {
  const count = expected.flat().length;
  for (const visitor of visitors) {
    await settled(visitor);
    await eventually(async () => (await visitor.messages()).length >= count, `${count} messages on ${visitor.name}'s page`, 30_000);
  }
  const pages = await Promise.all(visitors.map((visitor) => visitor.messages()));
  const [texts] = pages.map((messages) => messages.map(({ text }) => text));
  for (const messages of pages) {
    inOrder(messages);
    assert.deepEqual(messages.map(({ text }) => text), texts);
  }
  for (const sequence of expected) assert.deepEqual(texts.filter((text) => sequence.includes(text)), sequence);
  assert.equal(texts.length, count);
};
