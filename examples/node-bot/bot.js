// A chat bot on the npm package: joins a room, answers those who name it, tells a story line by line to those who ask
// for one, and stays through cuts and restarts of the server.
//
//   node bot.js [url] [room]

import { setTimeout as wait } from "node:timers/promises";
import { RealtimeClient } from "homing";
import WebSocket from "ws";

const [url = "ws://127.0.0.1:8000/connection/websocket", room = "lobby"] = process.argv.slice(2);
const me = { user: "bot-carrier", name: "Carrier", bot: true };
const STORY = [
  "A carrier pigeon set out from Basel at six in the morning.",
  "Over the Jura it began to rain.",
  "Above Dole a hawk followed it for eleven minutes, and then thought better of it.",
  "It rested on a church in Avallon. The bells were a surprise.",
  "Behind Auxerre somebody had moved the river.",
  "So it flew along the railway instead, as pigeons do.",
  "At noon it was in Paris, on its own window sill,",
  "with the message. Nobody had worried.",
];

const client = new RealtimeClient(url, {
  WebSocket,
  name: "node-bot",
  // A server in development mode takes a bot's word for who it is; elsewhere a token says it (`getToken`).
  data: { user: me.user, info: { name: me.name, bot: true } },
});
const channel = client.channel(`chat:${room}`, { joinLeave: true });

client.on("error", (error) => console.error(error.message));
channel.on("subscribed", ({ wasRecovering }) => console.log(wasRecovering ? "back:" : "here:", channel.name));
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => void client.close({ flush: 500 }));

/** Says something, once: while the server is away it waits in the outbox. */
const say = async (text) => {
  try {
    await channel.publish({ ...me, text });
  } catch (error) {
    console.error(error.message);
  }
};

let telling = false;
const tell = async () => {
  if (telling) return;
  telling = true;
  for (const line of STORY) {
    if (client.state.status === "closed") return;
    await say(line);
    await wait(1500);
  }
  telling = false;
};

const answer = async ({ name, text }) => {
  if (/\bstory\b/i.test(text)) return tell();
  if (!/\bcarrier\b/i.test(text)) return undefined;
  const { users } = await channel.presence.stats();
  return say(`Hello ${name}! There are ${users} of us. Ask me for a story, then cut the line while I tell it.`);
};

client.connect();
for await (const item of channel.messages()) {
  // Anybody may publish anything into a room; bots do not answer bots, or they would never stop.
  if (item.type === "gap" || typeof item.data?.text !== "string" || item.data.bot) continue;
  answer(item.data).catch((error) => console.error(error.message));
}
