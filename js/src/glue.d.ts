// What the build generates: the module's glue, and the module itself as text (deflated, base64).

declare module "#glue" {
  /** Gives the glue of one more instance of the module. */
  export default function make(): {
    init(options: { module_or_path: WebAssembly.Module }): Promise<unknown>;
    /** The text of the panic that just ended a call; empty: the trap was not a panic. */
    panicText(): string;
    Host: typeof Host;
  };
  export class Host {
    constructor(
      options: string,
      open: (url: string, conn: number) => object,
      emit: (event: string) => void,
      document: Document | undefined,
    );
    free(): void;
    /** Does what the calls before have asked for; events arrive while it runs. */
    drain(): void;
    /**
     * Tells it one thing; the verbs stand in verbs.generated.ts with what they take. Gives the id of a call or
     * the handle of a subscription; below zero: refused.
     */
    tell(verb: number, one: string, two: string, number: number, offset: number): number;
    /** Why the last call was refused, or how the channel stands that was subscribed last, as JSON. */
    said(): string;
    /** After a panic: lets go of the timer and of the page's events. */
    abandon(): void;
    /** Takes `count` publications from `offset` on (0: without offsets); answers how many it took. */
    advance(conn: number, channel: number, offset: number, count: number): number;
  }
}

declare module "#inlined" {
  export const inlined: string;
}
