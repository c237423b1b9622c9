// The one error type of the API. Its texts come from the generated table, which the core's own table writes.

import { table, type ErrorName } from "./errors.generated.js";

export type { ErrorName } from "./errors.generated.js";

/** What was measured, and the most that is allowed. */
export interface ErrorLimit {
  readonly actual: number;
  readonly maximum: number;
}

/** Everything that the client throws, rejects with or reports. Compare `name`, not the class or the text. */
export class RealtimeError extends Error {
  /** The number: that of the name, the application's own, or the server's close code. */
  readonly code: number;
  /** Stable; see the table of errors. */
  override readonly name: ErrorName;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;
  /** What was measured against which limit, where a limit was exceeded. */
  readonly limit: ErrorLimit | null;
  declare readonly cause?: unknown;

  constructor(name: ErrorName, parts: ErrorParts = {}) {
    const [number, retryable, what, next] = table[name];
    const code = parts.code ?? number;
    const measured = parts.limit ? ` (${parts.limit.actual} of at most ${parts.limit.maximum})` : "";
    const detail = parts.detail ? `: ${parts.detail}` : "";
    super(
      `${what}${measured}${detail}; ${next} [${code} ${name}]`,
      parts.cause === undefined ? undefined : { cause: parts.cause },
    );
    this.name = name;
    this.code = code;
    this.retryable = parts.retryable ?? retryable;
    this.limit = parts.limit ?? null;
  }

  /** @internal */
  static of(name: ErrorName, detail?: string, cause?: unknown): RealtimeError {
    return new RealtimeError(name, { detail, cause });
  }
}

/** What an error may carry beyond its name. */
export interface ErrorParts {
  code?: number | undefined;
  detail?: string | undefined;
  limit?: ErrorLimit | undefined;
  retryable?: boolean | undefined;
  cause?: unknown;
}

/** Thrown by an app's `getToken`: this user is not allowed. The client stops and does not ask again. */
export class ForbiddenError extends RealtimeError {
  constructor(why?: string) {
    super("token_forbidden", { detail: why });
  }
}

const names = new Map<number, ErrorName>();

/** The name of a number of the table. */
export const errorName = (number: number): ErrorName => {
  if (names.size === 0) {
    for (const name of Object.keys(table) as ErrorName[]) names.set(table[name][0], name);
  }
  return names.get(number) ?? "application";
};
