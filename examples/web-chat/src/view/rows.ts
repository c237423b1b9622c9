// One row of the message list for each kind of entry. A row is made anew when what it shows has changed.

import type { Entry, GapEntry, MessageEntry, ReturnEntry } from "../model/timeline.js";
import { face } from "./face.js";
import { button, html } from "./elements.js";
import { icons, mark } from "./icons.js";

/** Where a message stands among its neighbours. */
export interface Place {
  /** The first of several by one person in a row. */
  readonly opens: boolean;
  /** The first of a day; empty otherwise. */
  readonly day: string;
}

export interface RowActions {
  retry(key: string): void;
  edit(key: string): void;
  discard(key: string): void;
}

/** Equal for two entries that look the same. */
export const lookOf = (entry: Entry, { opens, day }: Place): string => {
  switch (entry.kind) {
    case "message":
      return [entry.state, entry.failure, entry.note.text, entry.note.name, entry.time, entry.recovered, opens, day].join("|");
    case "gap":
      return "gap";
    case "return":
      return `${entry.count} ${entry.done}`;
  }
};

export const rowOf = (entry: Entry, place: Place, actions: RowActions): HTMLElement => {
  switch (entry.kind) {
    case "message":
      return messageRow(entry, place, actions);
    case "gap":
      return gapRow(entry);
    case "return":
      return returnRow(entry);
  }
};

const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

const messageRow = (entry: MessageEntry, { opens, day }: Place, actions: RowActions): HTMLElement => {
  const { note, own, state, recovered } = entry;
  const names = ["message", own ? "own" : "other", opens ? "opens" : "", state, recovered ? "recovered" : ""];
  const stamp = entry.time > 0 ? html("time", { datetime: new Date(entry.time).toISOString() }, time.format(entry.time)) : undefined;
  const bubble = html("div", { class: "bubble" }, html("p", { class: "words" }, note.text), html("span", { class: "meta" }, stamp, ...marks(entry)));
  const body = html("div", { class: "body" });
  if (opens && !own) body.append(html("span", { class: "author" }, note.name));
  else body.append(html("span", { class: "unseen" }, own ? "You: " : `${note.name}: `));
  body.append(bubble);
  if (state === "failed") body.append(failure(entry, actions));
  const row = html("li", { class: names.filter(Boolean).join(" "), "data-key": entry.key, "data-offset": entry.offset });
  if (day) row.append(html("div", { class: "day" }, day));
  row.append(html("div", { class: "line-up" }, own ? undefined : opens ? face(note.user, note.name) : html("span", { class: "face-space" }), body));
  return row;
};

const marks = ({ own, state, recovered }: MessageEntry): readonly Element[] => {
  if (own) {
    const [icon, label] =
      state === "waiting"
        ? [icons.clock(), "waiting"]
        : state === "sent"
          ? [icons.tick(), "sent"]
          : [icons.alert(), "not sent"];
    return [icon, html("span", { class: "unseen" }, label)];
  }
  return recovered ? [mark(), html("span", { class: "unseen" }, "came home later")] : [];
};

const failure = ({ key, failure: why }: MessageEntry, actions: RowActions): HTMLElement =>
  html(
    "p",
    { class: "failure" },
    html("span", {}, why),
    html(
      "span",
      { class: "choices" },
      button("Try again", { class: "link" }, () => actions.retry(key)),
      button("Edit", { class: "link" }, () => actions.edit(key)),
      button("Discard", { class: "link" }, () => actions.discard(key)),
    ),
  );

const gapRow = ({ key, count, reason }: GapEntry): HTMLElement =>
  html(
    "li",
    { class: "divider gap", "data-key": key },
    html("p", {}, html("strong", {}, count === 0 ? "Messages may be missing here" : count === 1 ? "1 message is missing here" : `${count} messages are missing here`), html("span", {}, why[reason])),
  );

const why: Record<GapEntry["reason"], string> = {
  retention: "The server keeps only the newest, and you were away for too long.",
  epoch_changed: "The server started afresh: it does not know what was said in between.",
  rewound: "The server has lost them.",
  history_unavailable: "The server does not let them be read.",
  lagged: "They came faster than this page could take them.",
};

const returnRow = ({ key, count, away, done }: ReturnEntry): HTMLElement =>
  html(
    "li",
    { class: "divider return", "data-key": key },
    html("p", {}, mark(), html("strong", {}, count === 1 ? "1 message came home" : `${count} messages came home`), html("span", {}, `${away > 0 ? `after ${duration(away)} without a line` : "since you were here last"}. ${done ? "You have caught up." : "Catching up"}`)),
  );

const duration = (milliseconds: number): string => {
  const seconds = Math.max(1, Math.round(milliseconds / 1000));
  if (seconds < 60) return seconds === 1 ? "1 second" : `${seconds} seconds`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return minutes === 1 ? "1 minute" : `${minutes} minutes`;
  const hours = Math.round(minutes / 60);
  return hours === 1 ? "1 hour" : `${hours} hours`;
};
