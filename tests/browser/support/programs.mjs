// The programs around the pages: Homing's server with the chat beside it, the bots, and the make targets. All were
// built before (`make test-browser` does); their paths stand here. Nothing outlives the test file.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';
import { eventually, within } from '../../conformance/support/waiting.mjs';

export { eventually };
export const root = fileURLToPath(new URL('../../../', import.meta.url));
const target = process.env.CARGO_TARGET_DIR ?? `${root}target`;
process.env.HOMING_FAULT_PROXY ??= `${target}/debug/fault-proxy`;

const paths = {
  server: `${target}/debug/homing-server`,
  rustBot: `${target}/debug/rust-bot`,
  nodeBot: `${root}examples/node-bot/bot.js`,
  chat: `${root}examples/web-chat/dist`,
};

// The server takes every variable of its prefix for a setting, and those of the tests are none.
const quiet = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('HOMING_')));

const running = new Set();
process.once('exit', () => {
  for (const program of running) program.killAll();
});

/** A child process whose lines can be waited for. */
export class Program {
  constructor(command, args, { env = {}, group = false } = {}) {
    this.name = [command, ...args].join(' ');
    this.group = group;
    this.lines = [];
    this.child = spawn(command, args, {
      cwd: root,
      env: { ...quiet, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: group,
    });
    this.ended = once(this.child, 'close').then(([code, signal]) => {
      running.delete(this);
      return code ?? signal;
    });
    this.waiting = new Set();
    for (const stream of [this.child.stdout, this.child.stderr]) {
      readline.createInterface({ input: stream }).on('line', (line) => {
        this.lines.push(line);
        for (const look of this.waiting) look();
      });
    }
    running.add(this);
  }

  /** The first line from `from` on that matches. */
  async line(pattern, ms = 20_000, from = 0) {
    let look;
    const found = new Promise((resolve) => {
      look = () => {
        const line = this.lines.slice(from).find((line) => pattern.test(line));
        if (line !== undefined) resolve(line);
      };
    });
    this.waiting.add(look);
    look();
    const over = this.ended.then((code) => {
      look();
      throw new Error(`${this.name} ended with ${code} before ${pattern}`);
    });
    try {
      return await within(ms, Promise.race([found, over]), `${pattern} from ${this.name}`);
    } catch (error) {
      throw new Error(`${error.message}; its last lines:\n${this.lines.slice(-15).join('\n')}`);
    } finally {
      this.waiting.delete(look);
      over.catch(() => {});
    }
  }

  signal(name) {
    if (!running.has(this)) return;
    try {
      if (this.group) process.kill(-this.child.pid, name);
      else this.child.kill(name);
    } catch {
      // It has just ended.
    }
  }

  killAll() {
    this.signal('SIGKILL');
  }

  async stop(name = 'SIGTERM', ms = 15_000) {
    this.signal(name);
    try {
      return await within(ms, this.ended, `${this.name} to end after ${name}`);
    } finally {
      this.killAll();
    }
  }
}

/** A port that nobody listens on. */
export const freePort = async () => {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  await once(probe, 'close');
  return port;
};

/** Whether anybody listens there. */
export const listens = (port) =>
  new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });

/** Homing's server on its memory engine, with the chat beside the endpoint. Starts again on the same port. */
export class ChatServer {
  static async start(settings = {}) {
    const server = new ChatServer(await freePort(), settings);
    await server.start();
    return server;
  }

  constructor(port, settings) {
    this.settings = settings;
    this.address = `127.0.0.1:${port}`;
    this.url = `ws://${this.address}/connection/websocket`;
  }

  async start() {
    this.program = new Program(paths.server, ['--listen', this.address, '--insecure', '--static-dir', paths.chat], {
      env: { HOMING_CLIENT_PING_INTERVAL: '2s', HOMING_CLIENT_PONG_TIMEOUT: '1s', ...this.settings },
    });
    await this.program.line(/^listening on /);
  }

  kill() {
    return this.program.stop('SIGKILL');
  }
}

/** A bot in a room, once it is there. */
const bot = async (program, room) => {
  await program.line(new RegExp(`^here: chat:${room}$`));
  return program;
};

export const rustBot = (url, room) => bot(new Program(paths.rustBot, [url, room]), room);
export const nodeBot = (url, room) => bot(new Program(process.execPath, [paths.nodeBot, url, room]), room);
