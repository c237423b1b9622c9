// What went wrong for good, at the edge of the page, until it is dismissed. Passing trouble is the wire's to show.

import type { Complaint } from "../model/house.js";
import { button, html } from "./elements.js";
import { icons } from "./icons.js";

/** Older ones make room. */
const SHOWN = 3;

export class Complaints {
  readonly element = html("div", { class: "complaints", role: "alert" });

  add({ what, why }: Complaint): void {
    const close = button("", { class: "quiet", "aria-label": "Dismiss" }, () => card.remove());
    close.append(icons.close());
    const card = html("div", { class: "complaint" }, html("p", {}, html("strong", {}, what), html("span", {}, why)), close);
    // What is said again takes the place of what was said.
    for (const known of [...this.element.children]) if (known.textContent === card.textContent) known.remove();
    this.element.append(card);
    while (this.element.childElementCount > SHOWN) this.element.firstElementChild?.remove();
  }
}
