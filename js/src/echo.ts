// A loop's picture of its client's own messages: shown while they wait, and replaced by what the channel brings.
// Owns which of them is shown and how; one that the channel has brought is the channel's.

import type { ChannelGap, ChannelMessage, Position } from "./types.js";

interface Own<M> {
  message: ChannelMessage<M>;
  /** The loop has not yielded it as it stands. */
  fresh: boolean;
  /** Acknowledged: its place in the channel is known, or the server tells none. */
  acked: boolean;
}

/** Acknowledged ones that wait for their copy; what is beyond comes as any message does. */
const HELD = 1024;

export class Echo<M> {
  readonly #own = new Map<string, Own<M>>();
  /** Something may have to be yielded. */
  stirred = false;
  #held = 0;

  /** A change of the outbox. `follows`: the channel will bring what was acknowledged. */
  heard(message: ChannelMessage<M>, added: boolean, follows: boolean): void {
    const { id, state, offset } = message;
    const known = this.#own.get(id);
    // What the channel has brought already needs no more.
    if (!known && !added) return;
    const acked = state === "sent";
    // In its place among the others', then.
    const waits = acked && offset > 0 && follows;
    this.#own.set(id, { message, fresh: !waits, acked });
    if (acked && known && !known.acked) this.#held += 1;
    if (this.#held > HELD) {
      for (const [id, own] of this.#own) {
        if (!own.acked) continue;
        this.#drop(id, own);
        break;
      }
    }
    this.stirred = true;
  }

  /** A message that the channel brings: its own copy is not needed any more. `client`: the id of this connection. */
  met(message: ChannelMessage<M>, client: string): ChannelMessage<M> {
    if (this.#own.size === 0) return message;
    this.stirred ||= this.#held > 0;
    let { id } = message;
    // A plain server carries no ids: the first one of this connection with the same content it is.
    if (id === "" && message.info?.client === client) {
      const text = JSON.stringify(message.data);
      for (const [known, { message: own }] of this.#own) {
        if (JSON.stringify(own.data) !== text) continue;
        id = known;
        break;
      }
    }
    const own = this.#own.get(id);
    if (!own) return message;
    this.#drop(id, own);
    return message.id === "" ? { ...message, id } : message;
  }

  /** A new epoch has begun: what was acknowledged in the one before does not follow any more. */
  skipped({ from, to }: ChannelGap): void {
    for (const own of this.#own.values()) own.fresh ||= own.acked && from.epoch !== to.epoch && own.message.epoch === from.epoch;
    this.stirred = this.#own.size > 0;
  }

  /** What is to be yielded now, with the channel standing at `at`. */
  drain(at: Position | undefined): ChannelMessage<M>[] {
    this.stirred = false;
    const out: ChannelMessage<M>[] = [];
    for (const [id, own] of this.#own) {
      const { message, acked } = own;
      // The channel has gone on without it: it lies in a gap, or before the loop's beginning.
      const passed = acked && at?.epoch === message.epoch && message.offset > 0 && message.offset <= at.offset;
      if (own.fresh || passed) out.push(message);
      own.fresh = false;
      if (passed || message.state === "discarded") this.#drop(id, own);
    }
    return out;
  }

  #drop(id: string, own: Own<M>): void {
    this.#own.delete(id);
    if (own.acked) this.#held -= 1;
  }
}
