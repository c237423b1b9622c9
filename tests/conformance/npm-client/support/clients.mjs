// Clients of the npm package as it was built into js/dist, and waiting for their
// events. Every client made here is closed when its test ends, and a test fails
// when its client has died.

import assert from 'node:assert/strict';
import { after } from 'node:test';
import WebSocket from 'ws';
import { RealtimeClient } from '../../../../js/dist/index.js';
import { FaultProxy, Server } from '../../support/processes.mjs';
import { eventually, within } from '../../support/waiting.mjs';

export { ForbiddenError, RealtimeError } from '../../../../js/dist/index.js';
export { fresh, token } from '../../support/names.mjs';
export { eventually, rejection, within } from '../../support/waiting.mjs';

/** A server and the network before it, for the tests of a file. */
export const network = async (flags) => {
  const server = await Server.start(flags);
  const proxy = await FaultProxy.start(server.address);
  after(async () => {
    await proxy.stop();
    await server.kill();
  });
  return { server, proxy };
};

/** A client that is not connected yet; it tries again soon after a cut. */
export const client = (t, url, options = {}) => {
  const made = new RealtimeClient(url, {
    WebSocket,
    backoffFloor: 20,
    backoffBase: 50,
    backoffCap: 200,
    ...options,
  });
  const [errors, fatal, states] = [[], [], []];
  made.on('error', (error) => errors.push(error));
  made.on('fatal', (error) => fatal.push(error));
  made.on('state', (state) => states.push(state));
  t.after(async () => {
    await within(5_000, made.close(), 'the client to close');
    assert.deepEqual(fatal, []);
  });
  return Object.assign(made, { errors, states });
};

/** The next event of a client or channel that the predicate takes. Listening to a channel joins it. */
export const heard = (source, type, takes = () => true, ms = 10_000) => {
  let undo;
  const promise = new Promise((resolve) => {
    undo = source.on(type, (event) => takes(event) && resolve(event));
  });
  return within(ms, promise, `the event ${type}`).finally(() => undo());
};

/** The state with this status, the present one included. */
export const reached = (source, status) =>
  source.state.status === status
    ? Promise.resolve(source.state)
    : heard(source, 'state', (state) => state.status === status);

/** Resolves once the condition holds, looked at after every event of this type. */
export const until = (source, type, holds, what, ms = 15_000) =>
  holds() ? Promise.resolve() : heard(source, type, holds, ms).catch(() => {
    throw new Error(`waited ${ms} ms in vain for ${what}`);
  });

/** A client whose server has taken it. */
export const connected = async (t, url, options) => {
  const made = client(t, url, options);
  made.connect();
  await reached(made, 'connected');
  return made;
};

/** A confirmed subscription, with its messages in `received` and its gaps in `gaps`. */
export const subscribed = async (made, name, options) => {
  const channel = made.channel(name, options);
  const [received, gaps, left] = [[], [], []];
  channel.on('message', (message) => received.push(message));
  channel.on('gap', (gap) => gaps.push(gap));
  channel.on('unsubscribed', (event) => left.push(event));
  const opened = await heard(channel, 'subscribed');
  return Object.assign(channel, { received, gaps, left, opened });
};

/** What the messages of a channel said, in the order in which they came. */
export const data = (channel) => channel.received.map((message) => message.data);

/** What a subscriber finds in the log of its channel, oldest first. */
export const log = async (channel) => {
  const found = [];
  for (let page = await channel.history(); page.messages.length > 0; page = await page.newer()) found.push(...page.messages);
  return found.map((message) => message.data);
};

/** Waits until so many messages have come to a channel. */
export const came = (channel, total) =>
  eventually(() => channel.received.length >= total, `${total} messages`).catch((error) => {
    throw new Error(`${error.message}; ${channel.received.length} came: ${JSON.stringify(data(channel).slice(-20))}`);
  });

/** A client that has no connection, and says so. */
export const parted = (made) => reached(made, 'connecting');

/** The numbers from one to the other. */
export const count = (from, to) => Array.from({ length: to - from + 1 }, (_, n) => from + n);
