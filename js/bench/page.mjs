// Runs in a page: from a frame that the socket hands over to the application's handler, for this package, for the
// client `centrifuge` and for the least that anybody could do. Frames are made beforehand, the socket is one that
// answers by itself, and every frame is a turn of its own, as in a browser.

import { Centrifuge } from "centrifuge";
import { RealtimeClient } from "../dist/index.js";

const DATA = {
  id: "0193d8f2-6f0a-7cc3-98c4-dc0c0c07398f",
  author: "ada",
  at: 1763700000000,
  text: "The quick brown pigeon flies over the lazy cat and comes home.",
};
const CHANNEL = "bench:room";
const URL = "ws://nowhere/connection/websocket";

const answers = {
  connect: () => ({ client: "c", version: "0", ping: 300, pong: true }),
  subscribe: () => ({ recoverable: true, positioned: true, epoch: "e", offset: 0 }),
};

/** A socket whose server answers at once. */
class Wire {
  static newest;
  readyState = 0;

  constructor() {
    Wire.newest = this;
    queueMicrotask(() => {
      this.readyState = 1;
      this.onopen?.({ type: "open" });
    });
  }

  send(text) {
    for (const line of text.split("\n")) {
      const command = JSON.parse(line);
      const verb = Object.keys(answers).find((name) => name in command);
      if (!verb) continue;
      const reply = JSON.stringify({ id: command.id, [verb]: answers[verb]() });
      queueMicrotask(() => this.onmessage?.({ type: "message", data: reply }));
    }
  }

  close() {
    if (this.readyState === 3) return;
    this.readyState = 3;
    queueMicrotask(() => this.onclose?.({ type: "close", code: 1000, reason: "" }));
  }
}

/** Everything that hands frames to a handler: sets up, and gives the function that takes a frame. */
const clients = {
  homing: async (handler) => {
    const client = new RealtimeClient(URL, { WebSocket: Wire });
    client.on("error", (error) => console.error(error));
    client.connect();
    const room = client.channel(CHANNEL);
    await new Promise((resolve) => room.on("subscribed", resolve));
    room.on("message", (message) => handler(message.data));
    const wire = Wire.newest;
    return { take: (data) => wire.onmessage({ data }), end: () => client.close() };
  },
  centrifuge: async (handler) => {
    const client = new Centrifuge(URL, { websocket: Wire });
    client.connect();
    const room = client.newSubscription(CHANNEL);
    const subscribed = new Promise((resolve) => room.on("subscribed", resolve));
    room.on("publication", (publication) => handler(publication.data));
    room.subscribe();
    await subscribed;
    const wire = Wire.newest;
    return { take: (data) => wire.onmessage({ data }), end: () => client.disconnect() };
  },
  "JSON.parse and a call": async (handler) => ({
    take: (data) => {
      for (const line of data.split("\n")) handler(JSON.parse(line).push.pub.data);
    },
    end: () => undefined,
  }),
};

const frames = (count, together, offset) =>
  Array.from({ length: count }, (_, frame) =>
    Array.from({ length: together }, (_, n) =>
      JSON.stringify({ push: { channel: CHANNEL, pub: { data: DATA, offset: offset + frame * together + n + 1 } } }),
    ).join("\n"),
  );

/** Messages a second of one client: the median of several rounds behind one that warms up. */
const measure = async (make, together, { messages, rounds }) => {
  let arrived = 0;
  let complete = () => undefined;
  const { take, end } = await make((data) => {
    arrived += data.at > 0 ? 1 : 0;
    if (arrived % messages === 0) complete();
  });
  const rates = [];
  for (let round = 0; round <= rounds; round += 1) {
    const batch = frames(messages / together, together, round * messages);
    const done = new Promise((resolve) => (complete = resolve));
    const start = performance.now();
    for (const frame of batch) {
      take(frame);
      await null;
    }
    await done;
    if (round > 0) rates.push(messages / ((performance.now() - start) / 1000));
  }
  await end();
  if (arrived !== messages * (rounds + 1)) throw new Error(`${arrived} messages arrived`);
  return rates.sort((a, b) => a - b)[Math.floor(rates.length / 2)];
};

/** The figures by client, for one message a frame and for ten. */
globalThis.bench = async (size) => {
  const table = {};
  for (const [name, make] of Object.entries(clients)) {
    table[name] = [await measure(make, 1, size), await measure(make, 10, size)];
  }
  return table;
};
