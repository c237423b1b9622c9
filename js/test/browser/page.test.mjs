// The client in real pages: hidden, frozen, cached by the browser, offline. Puppeteer, because with it tabs are
// hidden and frozen as they are for people.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { basename } from "node:path";
import test, { after } from "node:test";
import puppeteer from "puppeteer-core";
import { Server } from "../support/server.mjs";
import { until } from "../support/waiting.mjs";

const dist = new URL("../../dist/", import.meta.url);
const script = `
  import { RealtimeClient } from "/dist/index.js";
  globalThis.start = (url, options) => {
    const client = new RealtimeClient(url, { backoffFloor: 5, backoffBase: 10, probeTimeout: 300, ...options });
    const room = client.channel("chat:page");
    globalThis.seen = { messages: [], states: [], events: [], fatal: [] };
    room.on("message", ({ data }) => seen.messages.push(data));
    client.on("state", ({ status }) => seen.states.push(status));
    client.on("fatal", (error) => seen.fatal.push(error.message));
    client.on("error", () => {});
    globalThis.client = client;
    globalThis.room = room;
    client.connect();
  };
  globalThis.RealtimeClient = RealtimeClient;
  addEventListener("pageshow", ({ persisted }) => { globalThis.persisted = persisted; });
  document.title = "ready";
`;
const files = createServer(async (request, response) => {
  const path = new URL(request.url, "http://page").pathname;
  if (path.startsWith("/dist/")) {
    response.writeHead(200, { "content-type": "text/javascript" }).end(await readFile(new URL(basename(path), dist)));
  } else {
    const body = path === "/page" ? `<script type="module">${script}</script>` : "<title>elsewhere</title>";
    response.writeHead(200, { "content-type": "text/html" }).end(`<!doctype html>${body}`);
  }
});
files.listen(0, "127.0.0.1");
await once(files, "listening");
const site = `http://127.0.0.1:${files.address().port}`;
const server = await Server.start();
const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--enable-features=IntensiveWakeUpThrottling:grace_period_seconds/1"],
  ignoreDefaultArgs: [
    "--disable-back-forward-cache",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
  ],
});
after(async () => {
  await browser.close();
  await server.stop();
  files.close();
});

/** A tab with a client that is connected and subscribed; closed with the test. */
const open = async (t, options = {}) => {
  const tab = await browser.newPage();
  t.after(() => tab.close());
  await tab.goto(`${site}/page`);
  await tab.waitForFunction(() => document.title === "ready");
  const before = server.sessions.length;
  await tab.evaluate((url, options) => globalThis.start(url, options), server.url, options);
  await until(() => server.sessions.length > before && server.session.channels.has("chat:page"), "the subscription");
  return { tab, session: server.session };
};

const messages = (tab) => tab.evaluate(() => globalThis.seen.messages);

const hide = async (t, tab) => {
  const other = await browser.newPage();
  t.after(() => other.close());
  await other.bringToFront();
  await tab.waitForFunction(() => document.hidden, { polling: 50 });
};

/** The path is dead from here on, and has been for longer than a sign of life makes a probe needless. */
const deaden = async (session) => {
  session.mute = true;
  const since = Date.now();
  await until(() => Date.now() - since > 1_100, "a silence that is worth a probe");
};

test("a page that the browser caches closes its socket, and misses nothing when it comes back", async (t) => {
  const { tab, session } = await open(t);
  server.publish("chat:page", "before");
  await until(async () => (await messages(tab)).includes("before"), "the first message");
  await tab.goto(`${site}/elsewhere`);
  await until(() => !session.open, "the socket's end");
  server.publish("chat:page", "meanwhile", { quietly: true });
  await tab.goBack();
  await tab.waitForFunction(() => globalThis.persisted === true);
  await until(async () => (await messages(tab)).includes("meanwhile"), "what was missed");
  server.publish("chat:page", "after");
  await until(async () => (await messages(tab)).includes("after"), "what is new");
  assert.deepEqual((await messages(tab)).slice(-3), ["before", "meanwhile", "after"]);
  assert.equal(server.live.length, 1);
});

test("a page that is seen again finds out at once that its socket is dead", async (t) => {
  const { tab, session } = await open(t);
  await hide(t, tab);
  await deaden(session);
  const began = Date.now();
  await tab.bringToFront();
  await until(() => server.session !== session && server.session.channels.has("chat:page"), "a fresh session");
  assert.ok(Date.now() - began < 4_000);
});

test("a page that is seen again keeps a socket that lives", async (t) => {
  const { tab, session } = await open(t);
  await hide(t, tab);
  await tab.bringToFront();
  await tab.waitForFunction(() => !document.hidden);
  assert.equal(await tab.evaluate(() => globalThis.client.rpc("echo", "still")), "still");
  assert.equal(server.session, session);
});

test("a page that wakes from freezing finds out at once that its socket is dead", async (t) => {
  const { tab, session } = await open(t);
  const devtools = await tab.createCDPSession();
  await hide(t, tab);
  await devtools.send("Page.setWebLifecycleState", { state: "frozen" });
  await deaden(session);
  server.publish("chat:page", "while frozen", { quietly: true });
  const began = Date.now();
  await devtools.send("Page.setWebLifecycleState", { state: "active" });
  await tab.bringToFront();
  await until(() => server.session !== session && server.session.channels.has("chat:page"), "a fresh session");
  assert.ok(Date.now() - began < 4_000);
  await until(async () => (await messages(tab)).includes("while frozen"), "what was missed");
});

test("online and offline are hints: a lie changes nothing, a dead socket is found", async (t) => {
  const { tab, session } = await open(t);
  await tab.evaluate(() => {
    dispatchEvent(new Event("offline"));
    dispatchEvent(new Event("online"));
  });
  assert.equal(await tab.evaluate(() => globalThis.client.rpc("echo", "a lie")), "a lie");
  assert.equal(server.session, session);
  await deaden(session);
  await tab.evaluate(() => dispatchEvent(new Event("online")));
  await until(() => server.session !== session, "a fresh session");
  await tab.evaluate(() => {
    Object.defineProperty(navigator, "onLine", { value: false });
    dispatchEvent(new Event("offline"));
  });
  server.session.cut();
  const { session: cut } = server;
  await until(() => server.session !== cut, "an attempt in spite of being offline, it is said");
});

test("a hidden page whose timers are throttled answers pings and stays connected", async (t) => {
  server.connectResult = { ping: 1, pong: true };
  t.after(() => {
    server.connectResult = {};
  });
  const { tab, session } = await open(t);
  await hide(t, tab);
  const pings = setInterval(() => session.open && session.send({}), 500);
  t.after(() => clearInterval(pings));
  // Behind the grace period a hidden page's timers run once a minute: twelve seconds are twelve ping intervals.
  const ticks = tab.evaluate(() => {
    let count = 0;
    setInterval(() => (count += 1), 1000);
    return new Promise((resolve) => {
      const channel = new MessageChannel();
      const end = Date.now() + 12_000;
      channel.port1.onmessage = () => (Date.now() < end ? channel.port2.postMessage(0) : resolve(count));
      channel.port2.postMessage(0);
    });
  });
  await ticks;
  assert.ok(session.pongs >= 20, `${session.pongs} pongs`);
  assert.equal(server.session, session);
  server.publish("chat:page", "to the hidden one");
  await until(async () => (await messages(tab)).includes("to the hidden one"), "the message");
});

test("a thousand clients leave no listener, no timer and no socket behind", async (t) => {
  const tab = await browser.newPage();
  t.after(() => tab.close());
  await tab.evaluateOnNewDocument(() => {
    globalThis.listeners = 0;
    for (const target of [Window.prototype, Document.prototype]) {
      const { addEventListener, removeEventListener } = EventTarget.prototype;
      target.addEventListener = function (...rest) {
        globalThis.listeners += 1;
        return addEventListener.apply(this, rest);
      };
      target.removeEventListener = function (...rest) {
        globalThis.listeners -= 1;
        return removeEventListener.apply(this, rest);
      };
    }
    globalThis.timers = new Set();
    const { setTimeout, clearTimeout } = globalThis;
    globalThis.setTimeout = (run, ms) => {
      const id = setTimeout(() => {
        globalThis.timers.delete(id);
        run();
      }, ms);
      globalThis.timers.add(id);
      return id;
    };
    globalThis.clearTimeout = (id) => {
      globalThis.timers.delete(id);
      clearTimeout(id);
    };
  });
  await tab.goto(`${site}/page`);
  await tab.waitForFunction(() => document.title === "ready");
  const already = await tab.evaluate(() => globalThis.listeners);
  const before = server.live.length;
  const [listeners, during, timers] = await tab.evaluate(async (url) => {
    let during = 0;
    // Few at a time: Chromium slows down a page that opens many sockets at once.
    for (let round = 0; round < 250; round += 1) {
      const clients = Array.from({ length: 4 }, () => {
        const client = new globalThis.RealtimeClient(url, { stableAfter: 60_000 });
        client.channel("chat:leak").on("message", () => {});
        client.connect();
        return client;
      });
      await Promise.all(clients.map((client) => client.rpc("echo", 1)));
      during = globalThis.listeners;
      await Promise.all(clients.map((client) => client.close()));
    }
    return [globalThis.listeners, during, globalThis.timers.size];
  }, server.url);
  assert.equal(during - already, 4 * 6);
  assert.equal(listeners, already);
  assert.equal(timers, 0);
  await until(() => server.live.length <= before, "the sockets' end");
});
