// A server of the protocol on a real socket that does what a test tells it: small, and wrong on request. Channels
// keep everything from offset 1 on under one epoch; a verb's answer can be replaced in `answers`.

import { once } from "node:events";
import { WebSocketServer } from "ws";

const SILENCE = Symbol("silence");

/** What an entry of `answers` gives so that the call is never answered. */
export const silence = () => SILENCE;

class Session {
  constructor(server, socket, number) {
    this.server = server;
    this.socket = socket;
    this.client = `client-${number}`;
    /** Commands in the order in which they came. */
    this.commands = [];
    this.channels = new Set();
    this.pongs = 0;
    /** The path is dead and nobody says so: nothing arrives, nothing is answered. */
    this.mute = false;
    socket.on("message", (frame) => this.#receive(String(frame)));
    socket.on("error", () => {});
  }

  get open() {
    return this.socket.readyState === 1;
  }

  send(...lines) {
    this.socket.send(lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))).join("\n"));
  }

  push(push) {
    this.send({ push });
  }

  close(code, reason) {
    this.socket.close(code, reason);
  }

  cut() {
    this.socket.terminate();
  }

  #receive(frame) {
    if (this.mute) return;
    const replies = [];
    for (const text of frame.split("\n")) {
      const { id, ...command } = JSON.parse(text);
      const [verb] = Object.keys(command);
      if (verb === undefined) {
        this.pongs += 1;
        continue;
      }
      this.commands.push({ verb, ...command[verb] });
      const own = this.server.answers[verb];
      const answer = own ? own(command[verb], this) : this.server.answer(verb, command[verb], this);
      if (answer === SILENCE || id === undefined) continue;
      replies.push(answer?.error ? { id, error: answer.error } : { id, [verb]: answer ?? {} });
    }
    if (replies.length > 0 && this.open) this.send(...replies);
  }
}

export class Server {
  static async start() {
    const server = new Server();
    server.listener = new WebSocketServer({ host: "127.0.0.1", port: 0 });
    await once(server.listener, "listening");
    server.url = `ws://127.0.0.1:${server.listener.address().port}/connection/websocket`;
    server.listener.on("connection", (socket, request) => {
      server.paths.push(request.url);
      const session = new Session(server, socket, server.sessions.length + 1);
      server.sessions.push(session);
      if (server.greets) server.greets(session);
    });
    return server;
  }

  sessions = [];
  paths = [];
  /** Answers in place of the usual ones, by verb: the result, `{ error }`, or `silence`. */
  answers = {};
  epoch = "e1";
  logs = new Map();
  connectResult = {};

  get session() {
    return this.sessions.at(-1);
  }

  get live() {
    return this.sessions.filter((session) => session.open);
  }

  count(verb) {
    return this.sessions.flatMap((session) => session.commands).filter((command) => command.verb === verb).length;
  }

  log(channel) {
    if (!this.logs.has(channel)) this.logs.set(channel, []);
    return this.logs.get(channel);
  }

  /** Appends, and tells who is subscribed. */
  publish(channel, data, { quietly = false } = {}) {
    const log = this.log(channel);
    const pub = { data, offset: log.length + 1 };
    log.push(pub);
    if (!quietly) {
      for (const session of this.live) if (session.channels.has(channel)) session.push({ channel, pub });
    }
    return pub;
  }

  answer(verb, params, session) {
    switch (verb) {
      case "connect":
        return { client: session.client, version: "test", ping: 25, pong: true, ...this.connectResult };
      case "subscribe": {
        session.channels.add(params.channel);
        const log = this.log(params.channel);
        const standing = { recoverable: true, positioned: true, epoch: this.epoch, offset: log.length };
        if (!params.recover) return standing;
        const same = (params.epoch ?? "") === this.epoch;
        return {
          ...standing,
          was_recovering: true,
          recovered: same,
          publications: same ? log.slice(params.offset ?? 0) : [],
        };
      }
      case "unsubscribe":
        session.channels.delete(params.channel);
        return {};
      case "publish":
        this.publish(params.channel, params.data);
        return {};
      case "history": {
        const { limit = 0, since, reverse = false } = params;
        if (since && since.epoch && since.epoch !== this.epoch) return { error: { code: 112, message: "unrecoverable" } };
        let log = this.log(params.channel);
        const offset = log.length;
        if (reverse) log = log.filter((pub) => !since || pub.offset < since.offset).reverse();
        else if (since) log = log.filter((pub) => pub.offset > (since.offset ?? 0));
        return { publications: limit < 0 ? log : log.slice(0, limit), epoch: this.epoch, offset };
      }
      case "presence":
        return { presence: { a: { client: "a", user: "ada", conn_info: { name: "Ada" } } } };
      case "presence_stats":
        return { num_clients: 2, num_users: 1 };
      case "rpc":
        if (params.method === "echo") return { data: params.data };
        return { error: { code: 104, message: "method not found" } };
      case "refresh":
      case "sub_refresh":
        return { expires: true, ttl: 3600 };
      default:
        return {};
    }
  }

  async stop() {
    for (const session of this.sessions) session.cut();
    await new Promise((resolve) => this.listener.close(resolve));
  }
}
