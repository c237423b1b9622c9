// Runs the demonstrations that `make demo`, `make redis-demo` and `make backend-demo` have built: the server with the
// chat beside it, a bot of each kind in the lobby, and with --redis two servers on a Redis of their own; with --backend
// one of the two backends instead, and the chat where people log in. Everything ends together, on Ctrl-C or when one
// of the programs does.
//
//   node demo.js [--redis | --backend node|rust] [--port PORT]     the first free port from 8000 on; PORT 0: any

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import readline from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = fileURLToPath(new URL("..", import.meta.url));
const built = join(process.env.CARGO_TARGET_DIR ?? join(root, "target"), "debug");
const text = { type: "string" };
const { values: flags } = parseArgs({ options: { redis: { type: "boolean" }, backend: text, port: text } });

/** How long a program has to end by itself, in milliseconds. */
const FAREWELL = 3000;

const running = new Set();
const scratch = mkdtempSync(join(tmpdir(), "homing-demo-"));
let stopping;

const stop = (status) => {
  stopping ??= (async () => {
    const ends = [...running].map((child) => once(child, "close"));
    for (const child of running) child.kill("SIGTERM");
    const timer = setTimeout(() => {
      for (const child of running) child.kill("SIGKILL");
    }, FAREWELL);
    await Promise.all(ends);
    clearTimeout(timer);
    rmSync(scratch, { recursive: true, force: true });
    process.exit(status);
  })();
  return stopping;
};

/** Starts a program, and waits for the line that says that it is ready. */
const start = async (name, command, args, ready, env = {}) => {
  // A group of its own: Ctrl-C reaches this script alone, which stops them in turn.
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"], detached: true });
  running.add(child);
  const said = [];
  const line = new Promise((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      readline.createInterface({ input: stream }).on("line", (text) => {
        said.push(text);
        if (said.length > 20) said.shift();
        if (ready.test(text)) resolve(text);
      });
    }
  });
  const ended = new Promise((_, reject) => {
    child.once("error", (error) => reject(new Error(`${name} cannot be started: ${error.message}`)));
    child.once("close", (code, signal) => {
      running.delete(child);
      const error = new Error(`${name} ended (${code ?? signal}); its last words:\n${said.join("\n")}`);
      reject(error);
      if (!stopping) {
        console.error(error.message);
        void stop(1);
      }
    });
  });
  return Promise.race([line, ended]);
};

const isFree = (port) =>
  new Promise((resolve) => {
    const probe = net.createServer().once("error", () => resolve(0));
    probe.listen(port, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });

/** A free port: any, or the first from here on. */
const freePort = async (from) => {
  if (from === 0) return isFree(0);
  for (let port = from; port < from + 100; port += 1) if (await isFree(port)) return port;
  throw new Error(`no port from ${from} to ${from + 99} is free`);
};

const startRedis = async () => {
  const port = await freePort(0);
  // It exists as long as the demonstration does, so nothing is written to disk.
  const options = ["--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", scratch];
  await start("Redis", "redis-server", options.map(String), /Ready to accept connections/);
  return `redis://127.0.0.1:${port}`;
};

const chat = join(root, "examples/web-chat");
const openToAll = ["--insecure", "--static-dir", join(chat, "dist")];

const startServer = async (port, settings) => {
  const address = `127.0.0.1:${port}`;
  const args = ["--listen", address, ...settings];
  // Ctrl-C is not a rolling restart: nobody waits for pages to move to another node.
  const env = { HOMING_SHUTDOWN_DRAIN_WINDOW: "0s", HOMING_SHUTDOWN_TIMEOUT: "1s" };
  await start("homing-server", join(built, "homing-server"), args, /^listening on /, env);
  return address;
};

const backends = {
  node: [process.execPath, join(root, "examples/backend-node/server.js")],
  rust: [join(built, "backend-rust")],
};

/** A backend, a server that asks it, and before both what makes them one origin. */
const startBackend = async (kind, front) => {
  if (!backends[kind]) throw new Error(`--backend is one of ${Object.keys(backends).join(", ")}`);
  const server = `127.0.0.1:${await freePort(0)}`;
  const [command, ...args] = backends[kind];
  const env = { PORT: "0", HOMING_API: `http://${server}/api` };
  const line = await start("The backend", command, args, /^listening on /, env);
  const backend = line.slice("listening on ".length);
  const config = join(scratch, "homing.toml");
  const settings = readFileSync(join(root, "examples/backend.toml"), "utf8");
  writeFileSync(config, settings.replaceAll("127.0.0.1:3000", backend));
  await startServer(server.split(":")[1], ["--config", config]);
  const vite = [join(chat, "node_modules/vite/bin/vite.js"), "preview", chat, "--mode", "backend"];
  const where = ["--host", "127.0.0.1", "--port", String(front), "--strictPort"];
  const targets = { SERVER: `http://${server}`, BACKEND: `http://${backend}` };
  await start("The chat", process.execPath, [...vite, ...where], /Local:/, { ...targets, NO_COLOR: "1" });
};

const showBackend = (address) =>
  console.log(`
  The chat is open:   http://${address}/

  Log in as ada (lovelace) or bob (builder), in two browsers or a private window.
  Write about spam, and see the backend refuse it; enter #staff as bob. Ada is
  staff: "/announce closing time" has the backend speak in the lobby.

  Ctrl-C stops everything.
`);

const show = (addresses, redis) => {
  const pages = addresses.map((address) => `http://${address}/`);
  console.log(`
  The chat is open:   ${pages.join("   and   ")}
${redis ? `  Two servers, one Redis (${redis}): whoever writes on one is read on the other.\n` : ""}
  Open it twice, in two browsers or a private window, and talk. In the lobby
  are Carrier and Rusty; ask Carrier for a story. Then cut the line, write on,
  mend it, and see what comes home.

  Ctrl-C stops everything.
`);
};

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => void stop(0));

const run = async () => {
  const first = flags.port === undefined ? 8000 : Number(flags.port);
  if (flags.backend !== undefined) {
    const port = await freePort(first);
    await startBackend(flags.backend, port);
    return showBackend(`127.0.0.1:${port}`);
  }
  const redis = flags.redis ? await startRedis() : undefined;
  const settings = redis ? [...openToAll, "--engine", "redis", "--redis-url", redis] : openToAll;
  const addresses = [];
  for (let node = 0; node < (redis ? 2 : 1); node += 1) {
    const from = first === 0 ? 0 : first + node;
    addresses.push(await startServer(await freePort(from), settings));
  }
  const socket = (address) => `ws://${address}/connection/websocket`;
  await start("The Node bot", process.execPath, [join(root, "examples/node-bot/bot.js"), socket(addresses[0])], /^here: /);
  await start("The Rust bot", join(built, "rust-bot"), [socket(addresses.at(-1))], /^here: /);
  show(addresses, redis);
};

run().catch((error) => {
  if (!stopping) console.error(error.message);
  void stop(1);
});
