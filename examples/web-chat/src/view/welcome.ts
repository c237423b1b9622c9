// The first thing a visitor sees, once: asks what to call them.

import { NAME_LENGTH } from "../model/person.js";
import { html } from "./elements.js";
import { mark } from "./icons.js";

export const askForName = (root: HTMLElement): Promise<string> =>
  new Promise((resolve) => {
    const field = html("input", {
      class: "field",
      id: "your-name",
      name: "name",
      maxlength: NAME_LENGTH,
      autocomplete: "nickname",
      required: true,
    });
    const form = html(
      "form",
      { class: "welcome-card" },
      mark(),
      html("h1", {}, "A chat that finds its way back"),
      html("p", {}, "Talk to whoever is here. Then cut the line, write on, mend it, and see what comes home."),
      html("label", { for: "your-name" }, "What should we call you?"),
      html("div", { class: "welcome-row" }, field, html("button", { class: "primary" }, "Come in")),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const name = field.value.trim();
      if (name) resolve(name);
      else field.value = "";
    });
    root.replaceChildren(html("main", { class: "welcome" }, form));
    field.focus();
  });
