// How far an app has processed a durable channel: the lowest of its readers. Owns the order in which messages were
// handed out, in a few numbers, and tells the module when the lowest has moved.

import type { Position } from "./types.js";

/** Up to which handed-out message a reader is done; undefined: it reads nothing. */
export type Floor = () => number | undefined;

interface Run {
  /** Number of its first message; the others follow without a hole. */
  readonly seq: number;
  readonly epoch: string;
  readonly offset: number;
}

export class Progress {
  readonly readers = new Set<Floor>();
  /** Number of the message that was handed out last. */
  seq = 0;
  readonly #move: (position: Position) => void;
  #runs: Run[] = [];
  #told = 0;
  #flushing = false;

  constructor(move: (position: Position) => void) {
    this.#move = move;
  }

  /** Something is about to be handed out, and the channel stands there. */
  handed(epoch: string, offset: number): void {
    if (offset === 0) return;
    this.seq += 1;
    const last = this.#runs[this.#runs.length - 1];
    if (last?.epoch !== epoch || last.offset + this.seq - last.seq !== offset) this.#runs.push({ seq: this.seq, epoch, offset });
    this.stir();
  }

  /** The number of the last message up to a position; 0: it is not known any more. */
  numberOf({ epoch, offset }: Position): number {
    for (let at = this.#runs.length - 1; at >= 0; at -= 1) {
      const run = this.#runs[at] as Run;
      const end = this.#runs[at + 1]?.seq ?? this.seq + 1;
      if (run.epoch === epoch && run.offset <= offset) return Math.min(end - 1, run.seq + offset - run.offset);
    }
    return 0;
  }

  /** A reader has moved: tells so, once for what happens in one go. */
  stir(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.flush();
    });
  }

  flush(): void {
    let floor = Infinity;
    let reads = false;
    for (const reader of this.readers) {
      const at = reader();
      reads ||= at !== undefined;
      floor = Math.min(floor, at ?? floor);
    }
    floor = Math.min(floor, this.seq);
    if (!reads || floor <= this.#told) return;
    this.#told = floor;
    let first = this.#runs.findIndex(({ seq }) => seq > floor);
    first = (first < 0 ? this.#runs.length : first) - 1;
    this.#runs.splice(0, first);
    const { epoch, offset, seq } = this.#runs[0] as Run;
    this.#move({ epoch, offset: offset + floor - seq });
  }
}
