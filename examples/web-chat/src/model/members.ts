// Who is in a room. A person with three tabs is three connections and one line here.

import type { ClientInfo } from "homing";
import { nameOf } from "./note.js";

export interface Member {
  readonly id: string;
  readonly isSelf: boolean;
  readonly name: string;
  readonly connections: number;
}

export class Members {
  readonly #byClient = new Map<string, ClientInfo>();
  /** Names that people signed messages with, where the server vouches for none. */
  readonly #signed = new Map<string, string>();

  join(info: ClientInfo): void {
    this.#byClient.set(info.client, info);
  }

  leave(info: ClientInfo): void {
    this.#byClient.delete(info.client);
  }

  replace(all: readonly ClientInfo[]): void {
    this.#byClient.clear();
    for (const info of all) this.join(info);
  }

  /** Remembers what a connection signed with. */
  signed(info: ClientInfo | null, name: string): void {
    if (info) this.#signed.set(info.client, name);
  }

  /** Everyone by name, oneself first. */
  list(isSelf: (id: string) => boolean): readonly Member[] {
    const people = new Map<string, { name: string; connections: number }>();
    for (const info of this.#byClient.values()) {
      const id = info.user || info.client;
      const name = nameOf(info) || this.#signed.get(info.client) || info.user || `Guest ${info.client.slice(0, 4)}`;
      people.set(id, { name, connections: (people.get(id)?.connections ?? 0) + 1 });
    }
    return [...people]
      .map(([id, person]) => ({ id, isSelf: isSelf(id), ...person }))
      .sort((one, other) => Number(other.isSelf) - Number(one.isSelf) || one.name.localeCompare(other.name));
  }
}
