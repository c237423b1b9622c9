// Where one writes. Takes text at any time: what cannot be sent waits in the room's outbox.

import type { House } from "../model/house.js";
import { TEXT_LENGTH } from "../model/note.js";
import { sentence } from "../model/words.js";
import { html } from "./elements.js";
import { icons } from "./icons.js";

export class Composer {
  readonly element: HTMLElement;
  readonly #house: House;
  readonly #said: () => void;
  readonly #text: HTMLTextAreaElement;
  readonly #send: HTMLButtonElement;
  /** What was begun and not sent, by room. */
  readonly #drafts = new Map<string, string>();
  #room = "";
  /** The message whose words are being changed; empty: a new one is written. */
  #editing = "";

  constructor(house: House, said: () => void) {
    this.#house = house;
    this.#said = said;
    this.#text = html("textarea", {
      class: "text",
      name: "text",
      rows: 1,
      maxlength: TEXT_LENGTH,
      enterkeyhint: "send",
      autocomplete: "off",
    });
    this.#send = html("button", { class: "send", "aria-label": "Send" }, icons.send());
    const form = html("form", { class: "composer" }, this.#text, this.#send);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#text.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    });
    this.#text.addEventListener("input", () => this.#fit());
    this.element = form;
  }

  draw(): void {
    const { current } = this.#house;
    if (current.name !== this.#room) {
      this.#editing = "";
      if (this.#room) this.#drafts.set(this.#room, this.#text.value);
      this.#room = current.name;
      this.#text.value = this.#drafts.get(current.name) ?? "";
      this.#text.setAttribute("aria-label", `Message to ${current.name}`);
      this.#text.placeholder = `Write to ${current.name}`;
      this.#fit();
    }
    this.#text.disabled = current.ended !== undefined;
    this.#send.disabled = current.ended !== undefined;
  }

  /** Ready to type, except where that would raise a keyboard over half of the page. */
  focus(): void {
    if (matchMedia("(pointer: fine)").matches) this.#text.focus();
  }

  /** Takes a message's words, to send them changed. */
  edit(key: string): void {
    const text = this.#house.current.draftOf(key);
    if (text === undefined) return;
    this.#editing = key;
    this.#text.value = text;
    this.#fit();
    this.#text.focus();
  }

  #submit(): void {
    const text = this.#text.value.trim();
    if (text === "") return;
    const room = this.#house.current;
    const { announce } = this.#house;
    const [, announcement] = (announce && /^\/announce\s+(.+)$/s.exec(text)) || [];
    if (announcement) announce?.(announcement).catch((error: Error) => this.#house.complain("This was not announced", sentence(error)));
    const taken = announcement ? true : this.#editing ? room.mend(this.#editing, text) : room.say(text);
    if (!taken) return;
    this.#editing = "";
    this.#text.value = "";
    this.#fit();
    this.#said();
  }

  #fit(): void {
    this.#text.style.height = "auto";
    this.#text.style.height = `${Math.min(this.#text.scrollHeight, 160)}px`;
  }
}
