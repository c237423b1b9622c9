// Prints what an app loads, and fails above the budget: the module, its glue and the TypeScript, minified.

import { readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, gzipSync } from "node:zlib";

const LIMIT = 69_300;
const dist = join(dirname(dirname(fileURLToPath(import.meta.url))), "dist");
const names = readdirSync(dist);
const shared = names.filter((name) => /^shared-.*\.js$/.test(name));
const layouts = {
  "slim: module apart": ["slim.js", ...shared, "homing.wasm"],
  "default: module inlined": ["index.js", ...shared],
};
const kb = (bytes) => `${(bytes / 1000).toFixed(1)} kB`.padStart(9);
let failed = false;
for (const [layout, files] of Object.entries(layouts)) {
  const total = { raw: 0, gzip: 0, brotli: 0 };
  process.stdout.write(`${layout}\n`);
  for (const file of files) {
    const bytes = readFileSync(join(dist, file));
    const size = { raw: bytes.length, gzip: gzipSync(bytes, { level: 9 }).length, brotli: brotliCompressSync(bytes).length };
    for (const key of Object.keys(total)) total[key] += size[key];
    process.stdout.write(`  ${file.padEnd(22)}${kb(size.raw)} raw ${kb(size.gzip)} gzip ${kb(size.brotli)} brotli\n`);
  }
  process.stdout.write(`  ${"sum".padEnd(22)}${kb(total.raw)} raw ${kb(total.gzip)} gzip ${kb(total.brotli)} brotli\n`);
  if (layout.startsWith("slim") && total.brotli > LIMIT) failed = true;
}
process.stdout.write(`budget: ${kb(LIMIT).trim()} brotli for module, glue and TypeScript\n`);
if (failed) {
  process.stderr.write("the package is above its budget\n");
  process.exit(1);
}
