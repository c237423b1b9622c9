// Asks for a name or a login once, then opens one client for this page and shows it. Everything else is in model/, which
// knows nothing of the page, and in view/, which only shows what the model says.

import { RealtimeClient } from "homing";
import "./style/base.css";
import "./style/frame.css";
import "./style/wire.css";
import "./style/messages.css";
import { HAS_BACKEND, announce, logIn, tokens } from "./model/backend.js";
import { forget, recall, remember, type Person } from "./model/person.js";
import { House } from "./model/house.js";
import { NetworkSwitch } from "./model/network.js";
import { showChat } from "./view/chat.js";
import { askForName, askToLogIn } from "./view/welcome.js";

/** The server that this page comes from: its WebSocket, and the ways around for networks where that does not pass. */
const addresses = (): string[] =>
  ["websocket", "http_stream", "sse"].map((way) => {
    const { href } = new URL(`connection/${way}`, document.baseURI.split("#")[0]);
    return way === "websocket" ? href.replace(/^http/, "ws") : href;
  });

/** What waits to be sent stays stored, and goes out when the same person is back. */
const leave = (): void => {
  forget();
  location.reload();
};

const begin = (me: Person): void => {
  remember(me);
  location.reload();
};

const open = (root: HTMLElement, me: Person): void => {
  const network = new NetworkSwitch();
  const client = new RealtimeClient(addresses(), {
    openSocket: network.openSocket,
    // A server in development mode takes a page's word for who it is; elsewhere a token says it.
    ...(HAS_BACKEND ? { getToken: tokens(leave) } : { data: { user: me.id, info: { name: me.name } } }),
    // What was written and not sent, and how far each room was read, outlive the page.
    storage: "durable",
    user: me.id,
    name: "web-chat",
  });
  const house = new House(client, me, network, HAS_BACKEND ? announce : undefined);
  showChat(root, house, HAS_BACKEND ? { leave } : { rename: (name) => begin({ ...me, name }) });
  house.open();
};

const meet = async (root: HTMLElement, stranger: Person): Promise<Person> => {
  if (!HAS_BACKEND) return { ...stranger, name: await askForName(root) };
  const name = await askToLogIn(root, logIn);
  return { id: name, name };
};

const start = async (): Promise<void> => {
  const root = document.getElementById("app");
  if (!root) throw new Error("the page has no #app");
  const known = recall();
  const me = known.name ? known : await meet(root, known);
  remember(me);
  open(root, me);
};

void start();
