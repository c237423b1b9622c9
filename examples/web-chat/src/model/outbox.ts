// One's own messages of a room on their way, one after the other. A message whose answer was lost is looked for
// among those that came back before it is sent again: nothing is said twice, whatever the line does.

import { RealtimeError } from "homing";
import type { Note } from "./note.js";

export interface OutboxHome {
  /** Whether the room is subscribed and has read what it missed. */
  ready(): boolean;
  publish(note: Note): Promise<void>;
  /** Whether the server has it, as far as the room has seen. */
  arrived(note: Note): boolean;
  failed(note: Note, why: string): void;
}

/** Wait before a refusal that may pass is tried again, in milliseconds. */
const RETRY = 1500;

export class Outbox {
  readonly #home: OutboxHome;
  #waiting: Note[] = [];
  #busy = false;

  constructor(home: OutboxHome) {
    this.#home = home;
  }

  add(note: Note): void {
    this.#waiting.push(note);
    this.wake();
  }

  discard(id: string): void {
    this.#waiting = this.#waiting.filter((note) => note.id !== id);
  }

  /** Goes on, if there is something to send and a line to send it over. */
  wake(): void {
    if (!this.#busy) void this.#send();
  }

  async #send(): Promise<void> {
    this.#busy = true;
    for (let note = this.#waiting[0]; note && this.#home.ready(); note = this.#waiting[0]) {
      if (!this.#home.arrived(note)) {
        const error = await this.#home.publish(note).then(() => undefined, (cause: unknown) => cause);
        if (error !== undefined) {
          if (isPassing(error)) {
            setTimeout(() => this.wake(), RETRY);
            break;
          }
          this.#home.failed(note, error instanceof Error ? error.message : String(error));
        }
      }
      this.discard(note.id);
    }
    this.#busy = false;
  }
}

/** Whether the next attempt may go better: the line broke, or the server is busy. */
export const isPassing = (error: unknown): boolean =>
  error instanceof RealtimeError && (error.retryable || error.name === "outcome_unknown");
