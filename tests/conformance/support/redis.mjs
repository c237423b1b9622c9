// A Redis of a test's own on a free port, with everything it keeps in a folder that goes with it. It outlives neither
// the test file nor `stop`; killed and started again it has what it had written.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const running = new Set();
process.once('exit', () => running.forEach((redis) => redis.gone()));

const freePort = async () => {
  const probe = net.createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address();
  probe.close();
  return port;
};

export class Redis {
  static async start() {
    const redis = new Redis();
    redis.folder = mkdtempSync(join(tmpdir(), 'homing-redis-'));
    running.add(redis);
    // Somebody else may take the port before Redis does: then it ends, and another one is tried.
    do redis.port = await freePort();
    while (!(await redis.start()));
    redis.address = `redis://127.0.0.1:${redis.port}`;
    return redis;
  }

  /** Starts it on its port, over what its folder holds. */
  async start() {
    const kept = ['--save', '', '--appendonly', 'yes', '--appendfsync', 'always', '--dir', this.folder];
    this.child = spawn('redis-server', ['--port', this.port, '--bind', '127.0.0.1', ...kept], { stdio: 'ignore' });
    // A test file ends without it, too.
    this.child.unref();
    const ended = once(this.child, 'exit');
    for (let over = false; !over; over = this.child.exitCode !== null) {
      const answer = await this.tell('INFO server').catch(() => '');
      if (answer.includes(`process_id:${this.child.pid}\r`) && !(await this.tell('PING')).startsWith('-LOADING')) return true;
      await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 10))]);
    }
    return false;
  }

  /** What it answers to a command. */
  async tell(command) {
    const socket = net.connect(this.port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      socket.write(`${command}\r\n`);
      const [answer] = await once(socket, 'data');
      return String(answer);
    } finally {
      socket.destroy();
    }
  }

  async kill() {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, 'exit');
    this.child.ref();
    this.child.kill('SIGKILL');
    await gone;
  }

  async stop() {
    await this.kill();
    this.gone();
  }

  gone() {
    running.delete(this);
    this.child.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}
