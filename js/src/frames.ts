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

/** What stands behind the data of a publication that has nothing but an offset. */
const TAIL = ',"offset":';

export class Frames {
  readonly #bridge: Bridge;
  readonly #registry: Registry;
  /** The channel of the line that was read last. */
  #speaker: ChannelRecord | undefined;
  /** How a publication of that channel begins, up to its data. */
  #head = "";
  /** Lines to be read as a whole, after one that looked as if it need not be. */
  #whole = 0;

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
    const pub = this.#read(frame);
    const record = this.#speaker;
    if (!pub || !record || this.#advance(conn, record, pub.offset ?? 0, 1) !== 1) {
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
      const pub = this.#read(text);
      if (!pub) break;
      records.push(this.#speaker as ChannelRecord);
      pubs.push(pub);
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

  /** Reads a line that is a publication and nothing else, of the channel that is the speaker then. */
  #read(text: string): WirePublication | undefined {
    const pub = this.#inner(text);
    if (pub) return pub;
    const line = parse(text);
    const record = line && this.#hot(line);
    if (!record) return undefined;
    if (record !== this.#speaker) {
      this.#speaker = record;
      this.#head = `{"push":{"channel":${JSON.stringify(record.name)},"pub":{"data":`;
    }
    return line.push?.pub;
  }

  /**
   * Reads the data alone, which costs half as much as the whole line. Where the text between the head and a tail
   * with an offset is one JSON value, it is the data, and there is no other field.
   */
  #inner(text: string): WirePublication | undefined {
    if (this.#speaker?.key === undefined || !text.endsWith("}}}") || !text.startsWith(this.#head)) return undefined;
    if (this.#whole > 0) {
      this.#whole -= 1;
      return undefined;
    }
    let at = text.length - 3;
    let offset = 0;
    for (let unit = 1; unit < 1e15; unit *= 10) {
      const digit = text.charCodeAt(at - 1) - 48;
      if (!(digit >= 0 && digit <= 9)) break;
      offset += digit * unit;
      at -= 1;
    }
    if (offset === 0 || text.charCodeAt(at) === 48 || !text.startsWith(TAIL, at - TAIL.length)) return undefined;
    try {
      return { data: JSON.parse(text.slice(this.#head.length, at - TAIL.length)) as unknown, offset };
    } catch {
      this.#whole = 100;
      return undefined;
    }
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
  if (message.offset > 0) record.at = message;
  record.progress?.handed(message.epoch, message.offset);
  for (const member of record.members) member.deliver(message);
};

const parse = (text: string): Line | undefined => {
  try {
    return JSON.parse(text) as Line;
  } catch {
    return undefined;
  }
};
