// The entry without the module: `init({ url })`, or the client's option `module`, says where it is. The package
// has it as `homing/homing.wasm`.

import { BaseClient } from "./client.js";
import { compile, load as loadModule } from "./loader.js";
import type { LoadSource } from "./types.js";

export * from "./exports.js";

/** One client of a server. Nothing happens before `connect` or the first call. */
export class RealtimeClient extends BaseClient {}

/** Loads the module; must come before the first call of a client without the option `module`. */
export const init = async (source: LoadSource): Promise<void> => {
  await loadModule(() => compile(source));
};

/** The same for an address or for bytes. */
export const load = async (source: string | URL | BufferSource): Promise<void> => {
  await init(typeof source === "string" || source instanceof URL ? { url: source } : { bytes: source });
};
