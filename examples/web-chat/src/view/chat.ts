// The page: puts its parts together and hands each the changes that it shows. Parts read the model; what a person
// does goes back to it as a plain call.

import type { House } from "../model/house.js";
import { Composer } from "./composer.js";
import { Complaints } from "./complaints.js";
import { html, oncePerFrame } from "./elements.js";
import { icons } from "./icons.js";
import { Messages } from "./messages.js";
import { People } from "./people.js";
import { Rooms, type SelfActions } from "./rooms.js";
import { Wire } from "./wire.js";

export const showChat = (root: HTMLElement, house: House, self: SelfActions): void => {
  const wire = new Wire(house);
  const rooms = new Rooms(house, self);
  const composer = new Composer(house, () => messages.follow());
  const messages = new Messages(house, (key) => composer.edit(key));
  const people = new People(house);
  const complaints = new Complaints();

  const title = html("h1", { class: "room-title" });
  const topic = html("p", { class: "room-topic" });
  const here = html("span", { class: "here-count" });
  const peopleButton = html(
    "button",
    { type: "button", class: "quiet people-button", popovertarget: people.element.id },
    icons.people(),
    here,
  );
  root.replaceChildren(
    wire.element,
    html(
      "div",
      { class: "floor" },
      rooms.element,
      html(
        "main",
        { class: "room", "aria-labelledby": "room-title" },
        html("header", { class: "room-head" }, html("div", {}, title, topic), peopleButton),
        messages.element,
        composer.element,
      ),
      people.element,
    ),
    complaints.element,
  );
  title.id = "room-title";

  const draw = oncePerFrame(() => {
    const room = house.current;
    const count = room.people.length;
    document.title = `${house.line.kind === "open" ? "" : "✂ "}${room.name} · Homing chat`;
    title.textContent = room.name;
    topic.textContent = topicOf(count, house.line.kind === "open" && room.ended === undefined);
    here.textContent = `${count} ${house.line.kind === "open" ? "here" : "were here"}`;
    wire.draw();
    rooms.draw();
    messages.draw();
    composer.draw();
    people.draw();
  });
  house.on("room", draw);
  house.on("rooms", () => {
    draw();
    composer.focus();
  });
  house.on("line", draw);
  house.on("flight", (direction) => wire.fly(direction));
  house.on("complaint", (complaint) => complaints.add(complaint));
  document.addEventListener("visibilitychange", draw);
  draw();
  composer.focus();
};

const topicOf = (count: number, known: boolean): string => {
  if (!known) return count > 1 ? `${count} people were here.` : "";
  return count > 1 ? `${count} people are here.` : "Nobody else is here. Open this page in another browser.";
};
