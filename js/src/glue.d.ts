// What the build generates: the module's glue, and the module itself as text (deflated, base64).

declare module "#glue" {
  export interface InitOutput {
    readonly memory: WebAssembly.Memory;
  }
  export default function init(options: { module_or_path: WebAssembly.Module }): Promise<InitOutput>;
  /** The text of the panic that just ended a call; empty: the trap was not a panic. */
  export function panicText(): string;
  export class Host {
    constructor(
      options: object,
      entropy: Uint8Array,
      open: (url: string, conn: number) => object,
      emit: (event: string) => void,
    );
    free(): void;
    /** Does what the calls before have asked for; events arrive while it runs. */
    drain(): void;
    /** Calls answer with a number; below zero: refused, and `refusal` tells why as JSON. */
    refusal(): string;
    connect(): number;
    disconnect(): void;
    close(flush: number): void;
    subscribe(
      channel: string,
      token: string,
      data: string,
      flags: number,
      epoch: string | undefined,
      offset: number,
    ): number;
    /** Key of the channel that was subscribed last. */
    key(): number;
    unsubscribe(handle: number): void;
    subscription(key: number): string;
    publish(channel: string, data: string): number;
    history(channel: string, limit: number, reverse: boolean, epoch: string | undefined, offset: number): number;
    presence(channel: string): number;
    presenceStats(channel: string): number;
    rpc(method: string, data: string): number;
    send(data: string): number;
    cancel(request: number): void;
    tokenProvided(request: number, token: string, failure: number): void;
    endpointsResolved(request: number, endpoints: string, failure: string | undefined): void;
    socketFailed(conn: number, text: string): void;
    frame(conn: number, text: string): void;
    /** Takes `count` publications from `offset` on (0: without offsets); answers how many it took. */
    advance(conn: number, channel: number, offset: number, count: number): number;
  }
}

declare module "#inlined" {
  export const inlined: string;
}
