// Pages of history, and the pages beside them. Keeps nothing between calls.

import type { Host } from "./bridge.js";
import type { ChannelMessage, HistoryOptions, HistoryPage, Position } from "./types.js";
import { HISTORY, HISTORY_REVERSE } from "./verbs.generated.js";
import { toMessage, type WirePublication } from "./wire.js";

type Ask = <T, R>(send: (host: Host) => number, decode: (result: R) => T, signal: AbortSignal | undefined) => Promise<T>;

interface Result {
  position: Position | null;
  messages: WirePublication[];
}

/** Asks for one page. */
export const readHistory = <M>(channel: string, options: HistoryOptions, ask: Ask): Promise<HistoryPage<M>> => {
  const { limit = -1, since, reverse = false, signal } = options;
  return ask(
    (host) => host.tell(reverse ? HISTORY_REVERSE : HISTORY, channel, since?.epoch ?? "", limit, since?.offset ?? 0),
    ({ position, messages }: Result) => {
      const epoch = position?.epoch ?? "";
      const shown: readonly ChannelMessage<M>[] = messages.map((message) => toMessage<M>(message, epoch));
      const first = shown[0]?.offset ?? since?.offset ?? 0;
      const last = shown[shown.length - 1]?.offset ?? first;
      const beside = (offset: number, backwards: boolean, signal?: AbortSignal): Promise<HistoryPage<M>> =>
        readHistory<M>(channel, { limit, since: { epoch, offset }, reverse: backwards, signal }, ask);
      return {
        messages: shown,
        position,
        older: (next) => beside(Math.min(first, last), true, next?.signal),
        newer: (next) => beside(Math.max(first, last), false, next?.signal),
      };
    },
    signal,
  );
};
