// Who sits in front of the page. Kept in localStorage, so that a reload and a second tab are the same person.

import { HAS_BACKEND } from "./backend.js";

export interface Person {
  readonly id: string;
  readonly name: string;
}

/** Those who have logged in are others than those who were just asked for a name. */
const KEY = HAS_BACKEND ? "homing-chat-login" : "homing-chat";

/** Everyone's name fits on one line of the list. */
export const NAME_LENGTH = 24;

export const recall = (): Person => {
  try {
    const { id, name } = JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Person>;
    if (typeof id === "string" && typeof name === "string") return { id, name };
  } catch {
    // Storage is refused, or holds something else: a new person.
  }
  return { id: randomId(), name: "" };
};

export const remember = (person: Person): void => {
  try {
    localStorage.setItem(KEY, JSON.stringify(person));
  } catch {
    // Then the name lasts as long as the page.
  }
};

export const forget = (): void => {
  try {
    localStorage.removeItem(KEY);
  } catch {
    // Then nobody was remembered.
  }
};

/** Works on plain http pages too, where `crypto.randomUUID` is missing. */
export const randomId = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(9)), (byte) => byte.toString(36).padStart(2, "0")).join("");
