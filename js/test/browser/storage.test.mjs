// IndexedDB and Web Locks in Chromium against the contract of all storages. Every instance is a tab of its own; the
// cases live in browser contexts that share nothing.

import assert from "node:assert/strict";
import test from "node:test";
import { build } from "esbuild";
import { contract, playCase } from "../support/contract.mjs";
import { launch, openTab, serveSite } from "../support/pages.mjs";

const { outputFiles } = await build({
  entryPoints: [new URL("../../src/storage/indexeddb.ts", import.meta.url).pathname],
  bundle: true,
  format: "esm",
  write: false,
});
const site = await serveSite(
  `
  import { IndexedDb } from "/indexeddb.js";
  globalThis.told = [];
  globalThis.durabilities = [];
  globalThis.storage = new IndexedDb();
  const { transaction } = IDBDatabase.prototype;
  IDBDatabase.prototype.transaction = function (...given) {
    const made = transaction.apply(this, given);
    if (made.mode === "readwrite") durabilities.push(made.durability);
    return made;
  };
  const { put } = IDBObjectStore.prototype;
  globalThis.breakNext = () => {
    IDBObjectStore.prototype.put = function (...given) {
      const request = put.apply(this, given);
      IDBObjectStore.prototype.put = put;
      request.addEventListener("success", () => this.transaction.abort());
      return request;
    };
  };
  globalThis.raw = (server, user, key, value) =>
    new Promise((resolve, reject) => {
      const request = indexedDB.open("homing", 1);
      request.onupgradeneeded = () => request.result.createObjectStore("records");
      request.onerror = () => reject(request.error);
      request.onsuccess = () => {
        const made = request.result.transaction("records", "readwrite");
        made.objectStore("records").put(value, [server, user, key]);
        made.oncomplete = () => (request.result.close(), resolve());
      };
    });
`,
  { "/indexeddb.js": outputFiles[0].text },
);
const browser = await launch();

const stage = async (t) => {
  const context = await browser.createBrowserContext();
  t.after(() => context.close());
  return {
    context,
    async make() {
      const tab = await openTab(context, `${site}/page`);
      return {
        tab,
        open: (scope) => tab.evaluate((scope) => storage.open(scope, (records) => told.push(...records)), scope),
        write: (ops) => tab.evaluate((ops) => storage.write(ops), ops),
        fails: (ops) => tab.evaluate((ops) => (breakNext(), storage.write(ops)), ops),
        erase: () => tab.evaluate(() => storage.erase()),
        close: () => tab.evaluate(() => storage.close()),
        die: () => tab.close(),
        adopted: () => tab.evaluate(() => told),
      };
    },
    async put(...given) {
      const tab = await openTab(context, `${site}/page`);
      await tab.evaluate((given) => raw(...given), given);
      await tab.close();
    },
  };
};

for (const kind of ["cases", "shared"]) {
  for (const each of contract[kind]) test(each.name, async (t) => playCase(await stage(t), each));
}

test("every batch asks for strict durability", async (t) => {
  const it = await (await stage(t)).make();
  await it.open({ server: "s", user: "u" });
  await it.write([["k", "1"]]);
  await it.erase();
  assert.deepEqual(await it.tab.evaluate(() => durabilities), ["strict", "strict"]);
});
