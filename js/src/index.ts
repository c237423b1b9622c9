// The default entry: carries the WebAssembly module with it and needs nothing else, anywhere.

import { inlined } from "#inlined";
import { BaseClient } from "./client.js";
import { compile, compileInlined, load } from "./loader.js";
import type { LoadSource } from "./types.js";

export * from "./exports.js";

const own = (source: LoadSource | undefined): Promise<WebAssembly.Module> =>
  source ? compile(source) : compileInlined(inlined);

/** One client of a server. Nothing happens before `connect` or the first call. */
export class RealtimeClient extends BaseClient {
  protected override compile(source: LoadSource | undefined): Promise<WebAssembly.Module> {
    return own(source);
  }
}

/**
 * Loads the module ahead of the first client, or from elsewhere. Needed by nobody: clients do it themselves.
 * The first call counts; after a failure the next one tries again.
 */
export const init = async (source?: LoadSource): Promise<void> => {
  await load(() => own(source));
};
