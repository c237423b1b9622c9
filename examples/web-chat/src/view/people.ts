// Who is here: a column where there is room for one, else a sheet that a button opens.

import type { House } from "../model/house.js";
import { face } from "./face.js";
import { arrange, html, say } from "./elements.js";

export class People {
  readonly element: HTMLElement;
  readonly #house: House;
  readonly #list = html("ul", { class: "people-list" });
  readonly #title = html("h2", { class: "aside-title" }, "Here");
  readonly #rows = new Map<string, HTMLElement>();

  constructor(house: House) {
    this.#house = house;
    this.element = html("aside", { id: "people", class: "people", popover: "auto", "aria-label": "Who is here" }, this.#title, this.#list);
  }

  draw(): void {
    const { current: room, line } = this.#house;
    const members = room.people;
    const rows = members.map(({ id, isSelf, name, connections }) => {
      const notes = [isSelf ? "you" : "", connections > 1 ? `${connections} tabs` : ""].filter(Boolean).join(", ");
      return this.#row(`${room.name} ${id}`, id, name, notes);
    });
    arrange(this.#list, rows);
    // Nobody knows who is there while the line is down: the list is the last one known.
    const stale = line.kind !== "open";
    say(this.#title, members.length === 0 ? "Here" : `${stale ? "Were here" : "Here"} (${members.length})`);
    this.element.classList.toggle("stale", stale);
  }

  #row(key: string, id: string, name: string, notes: string): HTMLElement {
    let row = this.#rows.get(key);
    if (!row || row.dataset["shown"] !== `${name} ${notes}`) {
      row = html("li", { class: "person", "data-shown": `${name} ${notes}` }, face(id, name), html("span", { class: "person-name" }, name));
      if (notes) row.append(html("span", { class: "person-notes" }, notes));
      this.#rows.set(key, row);
    }
    return row;
  }
}
