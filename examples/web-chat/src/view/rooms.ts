// The list of rooms, the form that opens another one, and the name that one goes by.

import { roomName, type House } from "../model/house.js";
import { NAME_LENGTH } from "../model/person.js";
import type { Room } from "../model/room.js";
import { arrange, button, html, say } from "./elements.js";
import { icons } from "./icons.js";

/** What one can do about who one is: take another name, or beside a backend, let somebody else log in. */
export type SelfActions = { readonly rename: (name: string) => void } | { readonly leave: () => void };

export class Rooms {
  readonly element: HTMLElement;
  readonly #house: House;
  readonly #list = html("ul", { class: "room-list" });
  readonly #links = new Map<string, { item: HTMLElement; link: HTMLAnchorElement; name: Element; count: Element }>();

  constructor(house: House, self: SelfActions) {
    this.#house = house;
    this.element = html(
      "nav",
      { class: "rooms", "aria-label": "Rooms" },
      html("h2", { class: "aside-title" }, "Rooms"),
      this.#list,
      this.#opener(),
      "rename" in self ? this.#renamer(self.rename) : this.#leaver(self.leave),
    );
  }

  draw(): void {
    const current = this.#house.current;
    arrange(this.#list, this.#house.rooms.map((room) => this.#link(room, room === current)));
  }

  #link(room: Room, isCurrent: boolean): HTMLElement {
    let row = this.#links.get(room.name);
    if (!row) {
      const name = html("span", { class: "room-name" }, room.name);
      const count = html("span", { class: "unread" });
      const link = html("a", { href: `#${room.name}`, class: "room-link" }, name, count);
      row = { item: html("li", {}, link), link, name, count };
      this.#links.set(room.name, row);
    }
    if (isCurrent) row.link.setAttribute("aria-current", "page");
    else row.link.removeAttribute("aria-current");
    const unread = isCurrent && !document.hidden ? 0 : room.unread;
    say(row.count, unread === 0 ? "" : unread > 99 ? "99+" : String(unread));
    row.link.setAttribute("aria-label", unread === 0 ? room.name : `${room.name}, ${unread} new`);
    return row.item;
  }

  #opener(): HTMLElement {
    const field = html("input", {
      class: "field",
      name: "room",
      "aria-label": "Name of another room",
      placeholder: "Another room",
      maxlength: 32,
      autocomplete: "off",
      autocapitalize: "none",
      spellcheck: "false",
    });
    const form = html("form", { class: "opener" }, field, html("button", { class: "quiet", "aria-label": "Open the room" }, icons.plus()));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const name = roomName(field.value);
      field.value = "";
      if (name) this.#house.enter(name);
    });
    return form;
  }

  #leaver(leave: () => void): HTMLElement {
    const { name } = this.#house.me;
    const show = button("", { class: "quiet self-name", "aria-label": `You are ${name}. Log in as somebody else` }, leave);
    show.append(html("span", {}, name), icons.pen());
    return html("div", { class: "self" }, show);
  }

  #renamer(rename: (name: string) => void): HTMLElement {
    const { name } = this.#house.me;
    const field = html("input", { class: "field", name: "name", "aria-label": "Your name", maxlength: NAME_LENGTH, value: name });
    const form = html("form", { class: "renamer", hidden: true }, field, html("button", { class: "quiet" }, "Save"));
    const show = button("", { class: "quiet self-name", "aria-label": `You are ${name}. Change your name` }, () => {
      show.hidden = true;
      form.hidden = false;
      field.focus();
      field.select();
    });
    show.append(html("span", {}, name), icons.pen());
    const hide = (): void => {
      form.hidden = true;
      show.hidden = false;
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const wanted = field.value.trim();
      if (wanted && wanted !== name) rename(wanted);
      else hide();
    });
    form.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      hide();
      show.focus();
    });
    return html("div", { class: "self" }, show, form);
  }
}
