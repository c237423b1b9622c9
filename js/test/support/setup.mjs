// What most tests begin with: a server, clients of the built package that are closed afterwards, the module that
// panics on request.

import { existsSync } from "node:fs";
import { after } from "node:test";
import WebSocket from "ws";
import { RealtimeClient } from "../../dist/index.js";
import { Server } from "./server.mjs";

if (!existsSync(new URL("../../dist/index.js", import.meta.url))) throw new Error("run `make build-js` first");

/** Waits that a test should not take. */
export const quick = { backoffFloor: 5, backoffBase: 10, backoffCap: 50, WebSocket };

/** A server that stops with the test file. */
export const serve = async () => {
  const server = await Server.start();
  after(() => server.stop());
  return server;
};

/** A client that is closed with the test file. */
export const client = (server, options = {}, Client = RealtimeClient) => {
  const made = new Client(typeof server === "string" ? server : server.url, { ...quick, ...options });
  after(() => made.close());
  made.on("error", () => {});
  return made;
};
