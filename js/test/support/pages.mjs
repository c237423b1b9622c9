// Pages in Chromium on a site of one's own: what the package's build and the test's own modules are served from.

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { basename } from "node:path";
import { after } from "node:test";
import puppeteer from "puppeteer-core";

const dist = new URL("../../dist/", import.meta.url);

/** Serves `/dist/`, the modules given by path, and at every other path a page that runs `script`. */
export const serveSite = async (script, modules = {}) => {
  const server = createServer(async (request, response) => {
    const path = new URL(request.url, "http://page").pathname;
    const found = modules[path] ?? (path.startsWith("/dist/") ? await readFile(new URL(basename(path), dist)) : undefined);
    if (found === undefined) {
      response.writeHead(200, { "content-type": "text/html" });
      response.end(`<!doctype html><script type="module">${script}\ndocument.title = "ready";</script>`);
    } else {
      response.writeHead(200, { "content-type": "text/javascript" }).end(found);
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  after(() => server.close());
  after(() => server.closeAllConnections());
  return `http://127.0.0.1:${server.address().port}`;
};

/** A browser that ends with the test file. */
export const launch = async (options = {}) => {
  const browser = await puppeteer.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox"],
    ...options,
  });
  after(() => browser.close());
  return browser;
};

/** One that keeps pages that were left, as it does for people. */
export const launchCaching = () => launch({ ignoreDefaultArgs: ["--disable-back-forward-cache"] });

/** A tab whose script has run. */
export const openTab = async (context, url) => {
  const tab = await context.newPage();
  await tab.goto(url);
  await tab.waitForFunction(() => document.title === "ready");
  return tab;
};
