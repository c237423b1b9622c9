// Measures, in Chromium, how many messages a second come from a frame to a handler, beside the client `centrifuge`
// in the same page, and prints a table. Called by `make bench` and `make bench-client`; never a test.

import { build } from "esbuild";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import puppeteer from "puppeteer-core";

const here = dirname(fileURLToPath(import.meta.url));
const size = { messages: 50_000, rounds: 5 };

const bundle = await build({
  entryPoints: [join(here, "page.mjs")],
  bundle: true,
  format: "iife",
  minify: true,
  write: false,
  logLevel: "error",
  // The package asks Node for its inflater only where there is no other.
  external: ["node:*"],
});

const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
try {
  const page = await browser.newPage();
  page.on("console", (message) => process.stderr.write(`${message.text()}\n`));
  await page.addScriptTag({ content: bundle.outputFiles[0].text });
  process.stderr.write("measuring the clients in Chromium\n");
  const table = await page.evaluate((size) => globalThis.bench(size), size);
  const rival = table.centrifuge;
  const print = (...cells) => {
    process.stdout.write(`${cells.map((cell, at) => (at ? cell.padStart(24) : cell.padEnd(30))).join("")}\n`);
  };
  print("messages/s, centrifuge = 1", "one a frame", "ten a frame");
  for (const [name, rates] of Object.entries(table)) {
    print(name, ...rates.map((rate, at) => `${Math.round(rate).toLocaleString("en")} (${(rate / rival[at]).toFixed(2)})`));
  }
} finally {
  await browser.close();
}
