// A proxy as they stand between people and servers: speaks HTTP itself, and has opinions about WebSocket, streams and
// the length of connections.

import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';

export class HttpProxy {
  /** What it does to those who ask for an upgrade: 'pass', 'refuse' with 403, or 'swallow' for ever. */
  upgrades = 'pass';
  /** Bytes of a response that it collects before it hands them on. */
  buffer = 0;
  /** The type of content that it hands on at once nevertheless. */
  spares;
  requests = [];
  #sockets = new Set();

  static async start(upstream) {
    const proxy = new HttpProxy();
    const [host, port] = upstream.split(':');
    proxy.server = http.createServer((request, response) => proxy.#pass({ host, port }, request, response));
    proxy.server.on('connection', (socket) => {
      proxy.#sockets.add(socket);
      socket.once('close', () => proxy.#sockets.delete(socket));
    });
    proxy.server.on('upgrade', (request, socket, head) => proxy.#upgrade({ host, port }, request, socket, head));
    proxy.server.listen(0, '127.0.0.1');
    await once(proxy.server, 'listening');
    proxy.address = `127.0.0.1:${proxy.server.address().port}`;
    return proxy;
  }

  /** Ends every connection that goes through it now. */
  cut() {
    for (const socket of this.#sockets) socket.destroy();
  }

  stop() {
    this.cut();
    this.server.close();
  }

  #pass({ host, port }, request, response) {
    this.requests.push(`${request.method} ${request.url.split('?')[0]}`);
    const { method, url: path, headers } = request;
    const onward = http.request({ host, port, method, path, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      const buffer = this.spares && answer.headers['content-type']?.startsWith(this.spares) ? 0 : this.buffer;
      let held = [];
      let length = 0;
      answer.on('data', (piece) => {
        held.push(piece);
        length += piece.length;
        if (length < buffer) return;
        response.write(Buffer.concat(held));
        held = [];
        length = 0;
      });
      answer.on('end', () => response.end(Buffer.concat(held)));
      answer.on('error', () => response.destroy());
    });
    onward.on('error', () => response.destroy());
    response.on('close', () => onward.destroy());
    request.pipe(onward);
  }

  #upgrade({ host, port }, request, socket, head) {
    this.requests.push(`UPGRADE ${request.url}`);
    socket.on('error', () => {});
    if (this.upgrades === 'swallow') return;
    if (this.upgrades === 'refuse') {
      socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
      return;
    }
    const onward = net.connect(Number(port), host, () => {
      const lines = request.rawHeaders.flatMap((text, at, all) => (at % 2 ? [] : [`${text}: ${all[at + 1]}`]));
      onward.write(`${request.method} ${request.url} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`);
      onward.write(head);
      onward.pipe(socket).pipe(onward);
    });
    onward.on('error', () => socket.destroy());
    socket.on('close', () => onward.destroy());
  }
}
