// Builds dist: the module, both entries over one shared chunk, and the types that an app sees.

import { build, transform } from "esbuild";
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { deflateRawSync } from "node:zlib";
import { minify } from "terser";
import { buildWasm } from "./wasm.mjs";

const js = dirname(dirname(fileURLToPath(import.meta.url)));

/** Gives "#glue" and "#inlined" their contents. */
const generated = (wasm, glue) => ({
  name: "generated",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^#glue$/ }, () => ({ path: glue, sideEffects: false }));
    onResolve({ filter: /^#inlined$/ }, () => ({ path: "#inlined", namespace: "inlined", sideEffects: false }));
    // The loader hands over a compiled module: what the glue has for addresses and responses folds away,
    // and its warnings of what the loader does not do. The glue keeps its instance in variables of its file; as a
    // function it gives one more instance at each call.
    onLoad({ filter: /[\\/]homing\.js$/ }, async ({ path }) => {
      const define = { Response: "undefined", Request: "undefined", URL: "undefined" };
      const options = { define, drop: ["console"], minifySyntax: true, target: "es2022" };
      const text = readFileSync(path, "utf8").replace(/^export (?=class|function)/gm, "");
      const made = text.replace(/^export \{[^}]*\};$/m, "return { init: __wbg_init, Host, panicText };");
      if (made === text || /^(import|export) /m.test(made)) throw new Error("the glue has another form than expected");
      const { code } = await transform(`export default () => {\n${made}\n};`, options);
      return { contents: code };
    });
    onLoad({ filter: /.*/, namespace: "inlined" }, () => {
      const packed = deflateRawSync(readFileSync(join(wasm, "homing.wasm")), { level: 9, memLevel: 9 });
      return { contents: `export const inlined = ${JSON.stringify(packed.toString("base64"))};` };
    });
  },
});

/** Bundles both entries into `dist`; tests put another `glue` around the module. */
export const bundle = async (wasm, dist, glue = join(wasm, "homing.js")) => {
  rmSync(dist, { recursive: true, force: true });
  mkdirSync(dist, { recursive: true });
  await build({
    absWorkingDir: js,
    entryPoints: { index: "src/index.ts", slim: "src/slim.ts" },
    outdir: dist,
    chunkNames: "shared-[hash]",
    bundle: true,
    splitting: true,
    minify: true,
    format: "esm",
    target: "es2022",
    platform: "neutral",
    legalComments: "none",
    plugins: [generated(wasm, glue)],
  });
  for (const name of readdirSync(dist)) {
    const file = join(dist, name);
    // Node prints the whole line that an uncaught error comes from.
    const format = { max_line_len: 2000 };
    const { code } = await minify(readFileSync(file, "utf8"), { module: true, ecma: 2022, compress: { passes: 3 }, format });
    writeFileSync(file, code);
  }
  copyFileSync(join(wasm, "homing.wasm"), join(dist, "homing.wasm"));
};

/** Emits declarations, and drops those that no entry reaches. */
const declare = (dist) => {
  execFileSync(
    process.execPath,
    ["node_modules/typescript/bin/tsc", "--noEmit", "false", "--declaration", "--emitDeclarationOnly", "--outDir", dist],
    { cwd: js, stdio: "inherit" },
  );
  const reached = new Set();
  const reach = (file) => {
    if (reached.has(file)) return;
    reached.add(file);
    const text = readFileSync(file, "utf8");
    if (/\bany\b/.test(text.replace(/\/\*[\s\S]*?\*\/|\/\/.*|"[^"\n]*"/g, ""))) throw new Error(`${file} says any`);
    for (const [, from] of text.matchAll(/(?:from|import)\s*\(?"([^"]+)"/g)) {
      if (!from.startsWith(".")) throw new Error(`${file} needs ${from}, which the package does not declare`);
      reach(resolve(dirname(file), from.replace(/\.js$/, ".d.ts")));
    }
  };
  reach(join(dist, "index.d.ts"));
  reach(join(dist, "slim.d.ts"));
  for (const entry of readdirSync(dist, { withFileTypes: true })) {
    const path = join(dist, entry.name);
    // Nothing below the entries' own folder is the app's.
    if (entry.isDirectory() || (entry.name.endsWith(".d.ts") && !reached.has(path))) rmSync(path, { recursive: true });
  }
};

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const reuse = process.argv.includes("--reuse-wasm") && existsSync(join(js, "build/wasm/homing.wasm"));
  const wasm = reuse ? join(js, "build/wasm") : buildWasm();
  const dist = join(js, "dist");
  await bundle(wasm, dist);
  declare(dist);
}
