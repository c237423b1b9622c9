// A page with a queue that the browser keeps in its back/forward cache is no hindrance: the next page of the site gets
// the queue, the cached one gives it up.

import assert from "node:assert/strict";
import test from "node:test";
import { launchCaching, openTab, serveSite } from "../support/pages.mjs";
import { Server } from "../support/server.mjs";
import { until } from "../support/waiting.mjs";

test("the queue of a page in the back/forward cache is adopted by the page that came after it", async (t) => {
  const server = await Server.start();
  t.after(() => server.stop());
  const site = await serveSite(`
    import { RealtimeClient } from "/dist/index.js";
    globalThis.begin = (url) => {
      globalThis.client = new RealtimeClient(url, { storage: "durable", storageName: "same", user: "ada" });
      client.on("error", () => {});
      client.connect();
    };
    globalThis.write = async (data) => (await client.channel("chat:cached").publish(data).stored).durably;
    addEventListener("pageshow", ({ persisted }) => { globalThis.persisted = persisted; });
  `);
  const browser = await launchCaching();
  const tab = await openTab(browser, `${site}/one`);
  await tab.evaluate(() => begin("ws://127.0.0.1:1/"));
  assert.equal(await tab.evaluate(() => write("queued")), true);
  await tab.goto(`${site}/two`);
  await tab.waitForFunction(() => document.title === "ready");
  await tab.evaluate((url) => begin(url), server.url);
  await until(() => server.log("chat:cached").length === 1, "the queued message");
  await tab.goBack();
  await tab.waitForFunction(() => globalThis.persisted !== undefined);
  assert.equal(await tab.evaluate(() => persisted), false);
});
