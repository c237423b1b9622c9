// Official clients and raw connections for the tests of one file. Every
// client made here is closed when its test ends.

import { once } from 'node:events';
import { Centrifuge } from 'centrifuge';
import WebSocket from 'ws';
import { next, within } from '../../support/waiting.mjs';

export { fresh, token } from '../../support/names.mjs';

/** A client that is not connected yet; it tries again soon after a cut. */
export const client = (t, url, options = {}) => {
  const made = new Centrifuge(url, {
    websocket: WebSocket,
    minReconnectDelay: 20,
    maxReconnectDelay: 200,
    ...options,
  });
  t.after(() => made.disconnect());
  return made;
};

/** A client whose connect reply has arrived. */
export const connected = async (t, url, options) => {
  const made = client(t, url, options);
  const done = next(made, 'connected');
  made.connect();
  return Object.assign(made, { opened: await done });
};

/** A confirmed subscription with all its publications in `received`. */
export const subscribed = async (made, channel, options) => {
  const subscription = made.newSubscription(channel, options);
  const received = [];
  subscription.on('publication', (publication) => received.push(publication));
  const done = next(subscription, 'subscribed');
  subscription.subscribe();
  return Object.assign(subscription, { received, opened: await done });
};

/** A WebSocket without a client, for frames that no client would send. */
export const raw = async (t, url) => {
  const socket = new WebSocket(url);
  t.after(() => socket.terminate());
  const replies = [];
  const waiting = [];
  socket.on('message', (frame) => {
    for (const line of String(frame).split('\n')) {
      const reply = JSON.parse(line);
      const taker = waiting.shift();
      if (taker) taker(reply);
      else replies.push(reply);
    }
  });
  const closed = once(socket, 'close').then(([code, reason]) => ({ code, reason: String(reason) }));
  await within(5_000, once(socket, 'open'), 'the socket to open');
  return {
    send: (...commands) =>
      socket.send(commands.map((c) => (typeof c === 'string' ? c : JSON.stringify(c))).join('\n')),
    reply: () =>
      within(5_000, new Promise((done) => (replies.length ? done(replies.shift()) : waiting.push(done))), 'a reply'),
    closed: () => within(10_000, closed, 'the connection to close'),
  };
};
