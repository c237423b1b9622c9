// The hot frames: publications of channels that the app reads. The browser parses the frame; the module gets
// the scalars that it decides on, and the payload never leaves JavaScript. Everything else, and everything from
// the first publication on that the module does not take, goes on as text.

import type { Bridge } from "./bridge.js";
import type { ChannelRecord, Registry } from "./registry.js";
import { FRAME } from "./verbs.generated.js";
import { toMessage, type WirePublication } from "./wire.js";

interface Line {
  id?: number;
  push?: { channel?: string; pub?: WirePublication & { delta?: boolean } };
}

export class Frames {
  readonly #bridge: Bridge;
  readonly #registry: Registry;

  constructor(bridge: Bridge, registry: Registry) {
    this.#bridge = bridge;
    this.#registry = registry;
  }

  /** One frame of a socket. */
  receive(conn: number, frame: string): void {
    const host = this.#bridge.host;
    if (!host) return;
    // While events are on their way a fast message would overtake them.
    if (this.#bridge.delivering || !frame.startsWith('{"push":{')) {
      this.#slow(conn, frame);
    } else if (frame.indexOf("\n") < 0) {
      this.#one(conn, frame);
    } else {
      this.#many(conn, frame.split("\n"));
    }
  }

  #one(conn: number, frame: string): void {
    const line = parse(frame);
    const record = line && this.#hot(line);
    const pub = line?.push?.pub;
    if (!record || !pub || this.#advance(conn, record, pub.offset ?? 0, 1) !== 1) {
      this.#slow(conn, frame);
      return;
    }
    this.#bridge.deliver();
    hand(record, pub);
    this.#bridge.delivered();
  }

  #many(conn: number, lines: readonly string[]): void {
    const records: ChannelRecord[] = [];
    const pubs: WirePublication[] = [];
    for (const text of lines) {
      const line = parse(text);
      const record = line && this.#hot(line);
      if (!record) break;
      records.push(record);
      pubs.push(line.push?.pub as WirePublication);
    }
    let at = 0;
    while (at < records.length) {
      const length = runLength(records, pubs, at);
      const record = records[at] as ChannelRecord;
      const taken = this.#advance(conn, record, pubs[at]?.offset ?? 0, length);
      if (taken > 0) {
        this.#bridge.deliver();
        for (const end = at + taken; at < end; at += 1) hand(record, pubs[at] as WirePublication);
        this.#bridge.delivered();
      }
      if (taken < length) break;
    }
    if (at < lines.length) this.#slow(conn, lines.slice(at).join("\n"));
  }

  /** The channel of a line that is a publication and nothing else. */
  #hot(line: Line): ChannelRecord | undefined {
    const push = line.push;
    const pub = push?.pub;
    if (line.id !== undefined || push?.channel === undefined || pub === undefined || pub.delta) return undefined;
    const record = this.#registry.named(push.channel);
    if (record?.key === undefined) return undefined;
    const offset = pub.offset;
    return offset === undefined || (Number.isSafeInteger(offset) && offset >= 0) ? record : undefined;
  }

  #advance(conn: number, record: ChannelRecord, offset: number, count: number): number {
    const host = this.#bridge.host;
    if (!host || record.key === undefined) return 0;
    const key = record.key;
    return this.#bridge.guard(() => host.advance(conn, key, offset, count)) ?? 0;
  }

  #slow(conn: number, frame: string): void {
    this.#bridge.run((host) => host.tell(FRAME, frame, "", conn, 0));
  }
}

/** How many publications from `at` on are of one channel and follow each other: one call takes them all. */
const runLength = (records: readonly ChannelRecord[], pubs: readonly WirePublication[], at: number): number => {
  const first = pubs[at]?.offset ?? 0;
  let length = 1;
  while (
    at + length < records.length &&
    records[at + length] === records[at] &&
    (pubs[at + length]?.offset ?? 0) === (first === 0 ? 0 : first + length)
  ) {
    length += 1;
  }
  return length;
};

const hand = (record: ChannelRecord, pub: WirePublication): void => {
  const message = toMessage(pub, record.epoch);
  for (const member of record.members) member.deliver(message);
};

const parse = (text: string): Line | undefined => {
  try {
    return JSON.parse(text) as Line;
  } catch {
    return undefined;
  }
};
