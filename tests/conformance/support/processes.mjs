// Starts the programs that a test talks to, each on a free port: the server under
// test and the fault proxy. The programs are built before; their paths come in
// HOMING_PEER (any server with the Go peer's flags and control endpoints) and
// HOMING_FAULT_PROXY; HOMING_PEER_PLAIN=1 says that the server is a plain one, HOMING_PEER_REDIS=1 gives it a Redis.
// Nothing outlives the test file: both end with their parent.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import readline from 'node:readline';
import { Redis } from './redis.mjs';
import { within } from './waiting.mjs';

const required = (name) => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} must name the program to test; run this through make`);
  return value;
};

/** Whether the server under test speaks the protocol without Homing's extras. */
export const plain = process.env.HOMING_PEER_PLAIN === '1';

/** Whether it keeps its data in a Redis, and so over a restart. */
export const keeps = process.env.HOMING_PEER_REDIS === '1';

/** The Redis of this test file; each server has a prefix of its own there. */
let redis;
let prefixes = 0;

const running = new Set();
process.once('exit', () => running.forEach((child) => child.kill('SIGKILL')));

const start = async (program, args) => {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  running.add(child);
  child.once('exit', () => running.delete(child));
  const lines = readline.createInterface({ input: child.stdout });
  const failed = once(child, 'exit').then(([code]) => {
    throw new Error(`${program} ended with ${code} before it was ready`);
  });
  const [line] = await within(20_000, Promise.race([once(lines, 'line'), failed]), `${program} to start`);
  failed.catch(() => {});
  return { child, lines, line };
};

const stopped = async (child, signal) => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  await within(10_000, gone, 'a program to end');
};

/** A server under test: its WebSocket url, and orders that make it act by itself. */
export class Server {
  static async start({ listen = '127.0.0.1:0', ...flags } = {}) {
    if (keeps) {
      redis ??= await Redis.start();
      flags = { redis: redis.address, 'redis-prefix': `peer-${++prefixes}`, ...flags };
    }
    const server = new Server(flags);
    await server.start(listen);
    return server;
  }

  constructor(flags) {
    this.flags = flags;
  }

  /** Starts it, in its former place where there was one. */
  async start(listen = this.address) {
    const args = ['--listen', listen];
    for (const [name, value] of Object.entries(this.flags)) args.push(`--${name}=${value}`);
    const { child, line } = await start(required('HOMING_PEER'), args);
    this.child = child;
    this.address = /(\S+:\d+)\s*$/.exec(line)[1];
    this.url = `ws://${this.address}/connection/websocket`;
  }

  /** Takes all its data from it: out of its Redis, or with its memory, by a crash. */
  async lose() {
    if (keeps) {
      await redis.tell('FLUSHALL');
      return;
    }
    await this.kill();
    await this.start();
  }

  publish(channel, data) {
    return this.#order('publish', { channel, data });
  }

  unsubscribe(user, channel, code, reason = 'by order') {
    return this.#order('unsubscribe', { user, channel, code, reason });
  }

  disconnect(user, code, reason = 'by order') {
    return this.#order('disconnect', { user, code, reason });
  }

  /** Lets the publishes to a channel of the namespace `asked` wait until `release`. */
  hold(channel) {
    return this.#order('hold', { channel });
  }

  release(channel) {
    return this.#order('release', { channel });
  }

  kill() {
    return stopped(this.child, 'SIGKILL');
  }

  async #order(verb, body) {
    const response = await fetch(`http://${this.address}/control/${verb}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(`${verb}: ${JSON.stringify(answer)}`);
    return answer;
  }
}

/** The network between a client and a server, which breaks on command. */
export class FaultProxy {
  static async start(upstream) {
    const { child, line } = await start(required('HOMING_FAULT_PROXY'), [upstream]);
    const { listen, control } = JSON.parse(line);
    const [host, port] = control.split(':');
    const socket = net.connect(Number(port), host);
    await once(socket, 'connect');
    return new FaultProxy(child, listen, socket);
  }

  constructor(child, address, socket) {
    this.child = child;
    this.address = address;
    this.url = `ws://${address}/connection/websocket`;
    this.socket = socket;
    this.answers = readline.createInterface({ input: socket });
  }

  /** Sends one command of the control protocol, such as "down" or "delay 50". */
  async tell(command) {
    const answer = once(this.answers, 'line');
    this.socket.write(`${command}\n`);
    const [line] = await within(5_000, answer, `the proxy's answer to ${command}`);
    if (line.startsWith('error')) throw new Error(line);
    return line;
  }

  async stop() {
    this.socket.destroy();
    await stopped(this.child, 'SIGKILL');
  }
}
