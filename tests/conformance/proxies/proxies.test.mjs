// The proxies of docs/proxies, as they stand there, between real servers and the npm client: every transport passes, and
// nothing else does.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { EventSource } from 'eventsource';
import { Server } from '../support/processes.mjs';
import { within } from '../support/waiting.mjs';
import { connected, count, data, fresh, subscribed, token, until } from '../npm-client/support/clients.mjs';

const folder = new URL('../../../docs/proxies/', import.meta.url);

const freePort = async () => {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
};

const listens = async (port) => {
  for (;;) {
    const socket = net.connect(port, '127.0.0.1');
    const open = await Promise.race([once(socket, 'connect').then(() => true), once(socket, 'error').then(() => false)]).catch(() => false);
    socket.destroy();
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};

const programs = {
  nginx: (text, port, upstream, scratch) => {
    const file = join(scratch, 'nginx.conf');
    const inside = text.replace('listen 8080', `listen 127.0.0.1:${port}`).replace('127.0.0.1:8000', upstream);
    const places = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${scratch}/${name};`);
    writeFileSync(file, `daemon off; pid ${scratch}/pid; error_log stderr; worker_processes 1;
      events { worker_connections 256; }
      http { access_log off; ${places.join(' ')} ${inside} }`);
    return spawn('nginx', ['-p', scratch, '-c', file], { stdio: 'inherit' });
  },
  caddy: (text, port, upstream, scratch) => {
    const file = join(scratch, 'Caddyfile');
    writeFileSync(file, `{\n\tadmin off\n\tauto_https off\n}\n${text.replace(':8080', `http://127.0.0.1:${port}`).replace('127.0.0.1:8000', upstream)}`);
    const env = { ...process.env, HOME: scratch, XDG_DATA_HOME: scratch, XDG_CONFIG_HOME: scratch };
    return spawn('caddy', ['run', '--config', file, '--adapter', 'caddyfile'], { stdio: ['ignore', 'ignore', 'ignore'], env });
  },
};

const files = { nginx: 'nginx.conf', caddy: 'Caddyfile' };

for (const [name, start] of Object.entries(programs)) {
  test(`${name}: every transport passes, the inside does not`, async (t) => {
    const server = await Server.start();
    t.after(() => server.kill());
    const scratch = mkdtempSync(join(tmpdir(), 'homing-proxy-'));
    t.after(() => rmSync(scratch, { recursive: true, force: true }));
    const port = await freePort();
    const proxy = start(readFileSync(new URL(files[name], folder), 'utf8'), port, server.address, scratch);
    const ended = once(proxy, 'exit');
    t.after(async () => {
      proxy.kill();
      await ended;
    });
    await within(15_000, listens(port), `${name} to listen`);

    const urls = {
      websocket: `ws://127.0.0.1:${port}/connection/websocket`,
      http_stream: `http://127.0.0.1:${port}/connection/http_stream`,
      sse: `http://127.0.0.1:${port}/connection/sse`,
    };
    const room = fresh('chat');
    const clients = [];
    for (const [transport, url] of Object.entries(urls)) {
      const one = await connected(t, url, { token: token({ sub: transport }), EventSource });
      clients.push(await subscribed(one, room));
    }
    for (const n of count(1, 30)) await clients[n % 3].publish(n);
    for (const one of clients) {
      await until(one, 'message', () => one.received.length >= 30, 'all of them');
      assert.deepEqual(data(one), count(1, 30));
    }
    for (const path of ['/metrics', '/health', '/ready', '/api/info', '/control/publish']) {
      assert.equal((await fetch(`http://127.0.0.1:${port}${path}`, { method: 'POST' })).status, 404, path);
    }
  });
}
