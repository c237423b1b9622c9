// The app's answers to the module's questions: tokens and endpoints. Owns one abort signal for the questions
// under way; never retries, never times out (the module does both).

import type { Bridge, Host } from "./bridge.js";
import type { ClientOptions, Endpoints } from "./options.js";
import type { ChannelRecord } from "./registry.js";
import {
  ENDPOINTS_FAILED,
  ENDPOINTS_RESOLVED,
  TOKEN_FAILED,
  TOKEN_FORBIDDEN,
  TOKEN_PROVIDED,
} from "./verbs.generated.js";

export class Providers {
  readonly #bridge: Bridge;
  readonly #endpoints: Endpoints;
  readonly #token: ClientOptions["getToken"];
  #abort = new AbortController();

  constructor(bridge: Bridge, endpoints: Endpoints, token: ClientOptions["getToken"]) {
    this.#bridge = bridge;
    this.#endpoints = endpoints;
    this.#token = token;
  }

  /** Asks for a token of the connection, or of a channel. */
  token(id: number, name: string | null, record: ChannelRecord | undefined): void {
    const signal = this.#abort.signal;
    this.#ask(
      () => {
        if (name === null) return this.#token?.({ signal });
        return record?.options.provider?.({ channel: name, signal });
      },
      (host, token) => {
        if (typeof token === "string") host.tell(TOKEN_PROVIDED, token, "", id, 0);
        else host.tell(TOKEN_FAILED, "the provider gave no text", "", id, 0);
      },
      (host, error) => {
        // By name, so that an error made by another copy of the package counts too.
        const forbidden = error instanceof Error && error.name === "token_forbidden";
        host.tell(forbidden ? TOKEN_FORBIDDEN : TOKEN_FAILED, textOf(error), "", id, 0);
      },
    );
  }

  /** Asks for endpoints. */
  resolve(id: number): void {
    const { signal } = this.#abort;
    const endpoints = this.#endpoints;
    this.#ask(
      () => (typeof endpoints === "function" ? endpoints({ signal }) : endpoints),
      (host, found) => {
        const list = typeof found === "string" ? [found] : Array.isArray(found) ? found.map(String) : [];
        host.tell(ENDPOINTS_RESOLVED, list.join("\n"), "", id, 0);
      },
      (host, error) => host.tell(ENDPOINTS_FAILED, textOf(error), "", id, 0),
    );
  }

  /** No answer matters any more. */
  stop(): void {
    this.#abort.abort();
    this.#abort = new AbortController();
  }

  #ask<T>(
    ask: () => T | Promise<T>,
    answered: (host: Host, value: T) => void,
    failed: (host: Host, error: unknown) => void,
  ): void {
    // Only who asked knows the question.
    const asking = this.#bridge.host;
    const answer = (tell: (host: Host) => void): void => {
      if (asking === this.#bridge.host) this.#bridge.run(tell);
    };
    // The answer comes in a later turn, also from a provider that answers at once.
    void Promise.resolve()
      .then(ask)
      .then(
        (value) => answer((host) => answered(host, value)),
        (error: unknown) => answer((host) => failed(host, error)),
      );
  }
}

const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
