// The first thing a visitor sees, once: asks what to call them, or beside a backend, who they are.

import { NAME_LENGTH } from "../model/person.js";
import { html } from "./elements.js";
import { mark } from "./icons.js";

const field = (id: string, attributes: Record<string, string>): HTMLInputElement =>
  html("input", { class: "field", id, maxlength: NAME_LENGTH, required: true, ...attributes });

/** Shows a card with these fields, until `taken` says that what was filled in will do. */
const ask = (root: HTMLElement, fields: readonly (Node | string)[], first: HTMLElement, taken: () => Promise<boolean>): Promise<void> =>
  new Promise((resolve) => {
    const form = html(
      "form",
      { class: "welcome-card" },
      mark(),
      html("h1", {}, "A chat that finds its way back"),
      html("p", {}, "Talk to whoever is here. Then cut the line, write on, mend it, and see what comes home."),
      ...fields,
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void taken().then((done) => done && resolve());
    });
    root.replaceChildren(html("main", { class: "welcome" }, form));
    first.focus();
  });

const row = (input: HTMLElement): HTMLElement =>
  html("div", { class: "welcome-row" }, input, html("button", { class: "primary" }, "Come in"));

export const askForName = async (root: HTMLElement): Promise<string> => {
  const name = field("your-name", { name: "name", autocomplete: "nickname" });
  await ask(root, [html("label", { for: name.id }, "What should we call you?"), row(name)], name, async () => {
    name.value = name.value.trim();
    return name.value !== "";
  });
  return name.value;
};

/** Asks until `logIn` says yes; the name. */
export const askToLogIn = async (root: HTMLElement, logIn: (name: string, password: string) => Promise<boolean>): Promise<string> => {
  const name = field("login-name", { name: "name", autocomplete: "username", autocapitalize: "none" });
  const password = field("login-password", { name: "password", type: "password", autocomplete: "current-password" });
  const trouble = html("p", { class: "welcome-trouble", role: "alert" });
  const fields = [
    html("label", { for: name.id }, "Your name"),
    name,
    html("label", { for: password.id }, "Your password"),
    row(password),
    trouble,
  ];
  await ask(root, fields, name, async () => {
    try {
      if (await logIn(name.value, password.value)) return true;
      trouble.textContent = "Nobody has this name and this password.";
    } catch {
      trouble.textContent = "The backend is out of reach. Try again.";
    }
    password.select();
    return false;
  });
  return name.value;
};
