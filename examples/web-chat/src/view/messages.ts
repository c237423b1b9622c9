// The list of messages: keeps one row per entry, stays at the bottom while the reader is there, holds its place
// while older ones are added above, and asks for them when the reader gets near the top.

import type { House } from "../model/house.js";
import type { Room } from "../model/room.js";
import type { Entry, MessageEntry } from "../model/timeline.js";
import { arrange, button, html, say } from "./elements.js";
import { icons } from "./icons.js";
import { lookOf, rowOf, type Place } from "./rows.js";

/** Distance from an edge that counts as being there, pixels. */
const AT_BOTTOM = 60;
const NEAR_TOP = 400;
/** Messages of one person closer than this stand together, milliseconds. */
const TOGETHER = 5 * 60_000;

interface Row {
  readonly look: string;
  readonly row: HTMLElement;
}

export class Messages {
  readonly element: HTMLElement;
  readonly #house: House;
  readonly #edit: (key: string) => void;
  readonly #list = html("ol", { class: "messages" });
  readonly #top = html("p", { class: "top" });
  readonly #scroller: HTMLElement;
  readonly #news: HTMLButtonElement;
  /** By the entry's key, from top to bottom. */
  #rows: ReadonlyMap<string, Row> = new Map();
  #room: Room | undefined;
  #follows = true;
  /** What was newest when the reader left the bottom. */
  #seenCount = 0;

  constructor(house: House, edit: (key: string) => void) {
    this.#house = house;
    this.#edit = edit;
    this.#scroller = html("div", { class: "scroller", role: "log", tabindex: 0 }, this.#top, this.#list);
    this.#news = button("", { class: "news", hidden: true }, () => this.follow());
    this.element = html("div", { class: "log" }, this.#scroller, this.#news);
    this.#scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => {
      if (this.#follows) this.#toBottom();
    }).observe(this.#scroller);
  }

  draw(): void {
    const room = this.#house.current;
    const changedRoom = room !== this.#room;
    if (changedRoom) {
      this.#room = room;
      this.#rows = new Map();
      this.#scroller.setAttribute("aria-label", `Messages in ${room.name}`);
      this.#follows = true;
    }
    const scroller = this.#scroller;
    if (this.#follows) room.trim();
    const anchor = this.#follows ? undefined : this.#anchor();
    this.#drawTop(room);
    scroller.setAttribute("aria-busy", String(!room.loaded));
    arrange(this.#list, this.#drawRows(room.timeline.entries));
    if (this.#follows) this.#toBottom();
    else if (anchor) this.#hold(anchor);
    this.#drawNews(room);
    if (this.#follows && !document.hidden) room.seen();
    // A first page that does not fill the list leaves nothing to scroll.
    if (room.loaded && scroller.scrollHeight <= scroller.clientHeight + NEAR_TOP) void room.loadOlder();
  }

  /** Goes to the newest message and stays there. */
  follow(): void {
    this.#follows = true;
    this.#toBottom();
  }

  #drawTop(room: Room): void {
    const empty = room.loaded && room.timeline.entries.length === 0;
    const text = room.ended !== undefined
      ? `This room is closed: ${room.ended}`
      : !room.loaded
        ? this.#house.line.kind === "cut" || this.#house.line.kind === "away"
          ? "What was said here comes when the line is back"
          : "Looking for what was said here"
        : empty
          ? "It is quiet here. Say something."
          : room.atBeginning
            ? "This is where it begins, as far as the server remembers."
            : room.loadingOlder
              ? "Reading older messages"
              : "Scroll up for older messages";
    say(this.#top, text);
    this.#top.classList.toggle("empty", empty || !room.loaded);
  }

  #drawRows(entries: readonly Entry[]): HTMLElement[] {
    const drawn = new Map<string, Row>();
    let last: MessageEntry | undefined;
    const rows = entries.map((entry) => {
      const place = placeOf(entry, last);
      last = entry.kind === "message" ? entry : undefined;
      const look = lookOf(entry, place);
      const known = this.#rows.get(entry.key);
      if (known?.look === look) {
        drawn.set(entry.key, known);
        return known.row;
      }
      const row = rowOf(entry, place, {
        retry: (key) => this.#room?.retry(key),
        edit: (key) => this.#edit(key),
        discard: (key) => this.#room?.discard(key),
      });
      if (known) known.row.replaceWith(row);
      else if (this.#follows && this.#rows.size > 0) row.classList.add("arrives");
      drawn.set(entry.key, { look, row });
      return row;
    });
    this.#rows = drawn;
    return rows;
  }

  #drawNews(room: Room): void {
    const count = room.timeline.arrivals - this.#seenCount;
    this.#news.hidden = this.#follows;
    if (this.#follows) return;
    this.#news.replaceChildren(count === 0 ? "To the newest" : count === 1 ? "1 new message" : `${count} new messages`, icons.down());
  }

  #scrolled(): void {
    const { scrollTop, scrollHeight, clientHeight } = this.#scroller;
    const room = this.#room;
    if (!room) return;
    const follows = scrollHeight - scrollTop - clientHeight < AT_BOTTOM;
    if (follows !== this.#follows) {
      this.#follows = follows;
      this.#seenCount = room.timeline.arrivals;
      if (follows) room.seen();
      this.#drawNews(room);
    }
    if (scrollTop < NEAR_TOP && room.loaded) void room.loadOlder();
  }

  #toBottom(): void {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  /** The first message in sight, and where it stands. */
  #anchor(): { readonly key: string; readonly bottom: number } | undefined {
    const top = this.#scroller.getBoundingClientRect().top;
    for (const [key, { row }] of this.#rows) {
      const { bottom } = row.getBoundingClientRect();
      if (bottom > top) return { key, bottom };
    }
    return undefined;
  }

  /** Puts a message back to where it stood, whatever was added above. Its row may be another one. */
  #hold({ key, bottom }: { readonly key: string; readonly bottom: number }): void {
    const row = this.#rows.get(key)?.row;
    if (row) this.#scroller.scrollTop += row.getBoundingClientRect().bottom - bottom;
  }
}

const day = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });

const placeOf = (entry: Entry, last: MessageEntry | undefined): Place => {
  if (entry.kind !== "message") return { opens: true, day: "" };
  const both = last !== undefined && last.time > 0 && entry.time > 0;
  const newDay = both && new Date(last.time).toDateString() !== new Date(entry.time).toDateString();
  const same = last?.note.user === entry.note.user && last.note.name === entry.note.name;
  const apart = both && entry.time - last.time >= TOGETHER;
  return { opens: !same || newDay || apart, day: newDay ? day.format(entry.time) : "" };
};
