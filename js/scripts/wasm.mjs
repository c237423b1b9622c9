// Builds the WebAssembly module: cargo, wasm-bindgen, wasm-opt in several settings, the functions put in order, the
// smallest by brotli wins. Leaves glue and module in build/wasm.

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync } from "node:zlib";
import { ordered } from "./order.mjs";

const js = dirname(dirname(fileURLToPath(import.meta.url)));
const workspace = dirname(js);
const target = process.env.CARGO_TARGET_DIR ?? join(workspace, "target");

const run = (file, args, options = {}) => execFileSync(file, args, { stdio: ["ignore", "inherit", "inherit"], ...options });

/** The CLI must be of the same version as the library: it writes the glue for it. */
const checkBindgen = () => {
  const lock = readFileSync(join(workspace, "Cargo.lock"), "utf8");
  const wanted = /name = "wasm-bindgen"\nversion = "([^"]+)"/.exec(lock)?.[1];
  let found = "none";
  try {
    found = execFileSync("wasm-bindgen", ["--version"], { encoding: "utf8" }).trim().split(" ")[1];
  } catch {
    // Told below.
  }
  if (found !== wanted) {
    throw new Error(
      `wasm-bindgen ${wanted} is needed, ${found} was found: cargo install wasm-bindgen-cli --version ${wanted}`,
    );
  }
};

const features = ["bulk-memory", "nontrapping-float-to-int", "reference-types", "sign-ext", "mutable-globals", "multivalue"];
const flat = ["--flatten", "--rereloop", "-Oz", "-Oz"];
const noInlining = ["-fimfs=0", "-ocimfs=0", "-aimfs=0"];
const settings = [["-Oz", ...flat], ["-Os", ...flat], ["-Oz", ...noInlining, ...flat], ["-Os", ...noInlining, ...flat]];
// Inlining as `opt-level = "z"` does it leaves more code than this, measured in brotli.
const inlining = "-Cllvm-args=--inline-threshold=10";

/** Panics name their place in the source: short, and the same on every machine. */
const remapped = () => {
  const sysroot = execFileSync("rustc", ["--print", "sysroot"], { cwd: workspace, encoding: "utf8" }).trim();
  const cargo = process.env.CARGO_HOME ?? join(homedir(), ".cargo");
  const registry = join(cargo, "registry", "src");
  const packages = existsSync(registry) ? readdirSync(registry).map((name) => join(registry, name)) : [];
  const paths = [workspace, join(sysroot, "lib/rustlib/src/rust/library"), ...packages];
  return paths.map((path) => `--remap-path-prefix=${path}/=`);
};
const brotli = (bytes) => brotliCompressSync(bytes).length;

/** Builds into build/<name>; `cargoFeatures` are for tests only. */
export const buildWasm = (name = "wasm", cargoFeatures = []) => {
  checkBindgen();
  const out = join(js, "build", name);
  const extra = cargoFeatures.length > 0 ? ["--features", cargoFeatures.join(",")] : [];
  const rustflags = JSON.stringify([inlining, ...remapped()]);
  run("cargo", ["--config", `target.wasm32-unknown-unknown.rustflags=${rustflags}`, "build", "--quiet", "-p", "homing-wasm", "--lib", "--profile", "wasm", "--target", "wasm32-unknown-unknown", ...extra], {
    cwd: workspace,
  });
  rmSync(out, { recursive: true, force: true });
  mkdirSync(out, { recursive: true });
  run("wasm-bindgen", [
    "--target", "web",
    "--omit-default-module-path",
    "--remove-name-section",
    "--remove-producers-section",
    "--no-typescript",
    "--out-name", "homing",
    "--out-dir", out,
    join(target, "wasm32-unknown-unknown", "wasm", "homing_wasm.wasm"),
  ]);
  const raw = join(out, "homing_bg.wasm");
  let best;
  for (const flags of settings) {
    const file = join(out, "candidate.wasm");
    const wasmOpt = join(js, "node_modules", "binaryen", "bin", "wasm-opt");
    const enabled = features.map((feature) => `--enable-${feature}`);
    const names = execFileSync(
      process.execPath,
      [wasmOpt, raw, "-o", file, ...enabled, ...flags, "--minify-imports-and-exports-and-modules"],
      { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] },
    );
    const bytes = ordered(readFileSync(file));
    if (!best || brotli(bytes) < brotli(best.bytes)) best = { bytes, names: JSON.parse(names), flags };
    rmSync(file);
  }
  rmSync(raw);
  const glue = join(out, "homing.js");
  writeFileSync(glue, renamed(readFileSync(glue, "utf8"), best.names));
  writeFileSync(join(out, "homing.wasm"), best.bytes);
  const { bytes, flags } = best;
  process.stdout.write(`homing.wasm: ${bytes.length} bytes, ${brotli(bytes)} brotli (${flags.join(" ")})\n`);
  return out;
};

/**
 * The glue with the names that wasm-opt gave to imports and exports. The generated ones end in a hash, which no
 * compression takes away: a kilobyte on both sides together. Throws where a name is not where it should be.
 */
const renamed = (glue, { imports, exports }) => {
  const short = new Map(exports);
  let out = glue.replace(/\bwasm\.(\w+)/g, (_, name) => {
    if (!short.has(name)) throw new Error(`the glue calls ${name}, which the module does not export`);
    return `wasm.${short.get(name)}`;
  });
  for (const [module, name, to] of imports) {
    const parts = out.split(new RegExp(`\\b${name}\\b`));
    if (!name.startsWith("__wb") || parts.length !== 2) throw new Error(`the glue has no place for the import ${name}`);
    out = parts.join(to).replace(JSON.stringify(module), '"a"');
  }
  return out;
};
