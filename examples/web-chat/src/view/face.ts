// A person as a round mark: two letters, and one of a few colours that stays the same for the same person.

import { html } from "./elements.js";

const COLOURS = 8;

export const hueOf = (id: string): number => {
  let sum = 0;
  for (const char of id) sum = (sum * 31 + (char.codePointAt(0) ?? 0)) % 99_991;
  return sum % COLOURS;
};

export const face = (id: string, name: string): HTMLElement =>
  html("span", { class: `face hue-${hueOf(id)}`, "aria-hidden": "true" }, initials(name));

const initials = (name: string): string => {
  const words = name.trim().split(/\s+/);
  const letters = [words[0], words.length > 1 ? words.at(-1) : ""].map((word) => [...(word ?? "")][0] ?? "").join("");
  return letters.toUpperCase() || "?";
};
