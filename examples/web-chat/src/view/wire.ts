// The line between this page and the server, drawn: it hangs whole or cut, what is said flies along it, and its
// switch cuts it for real. Shows what the client reports; never decides anything.

import type { House } from "../model/house.js";
import { button, html, say, svg } from "./elements.js";
import { mark, pigeon } from "./icons.js";

/** Both halves of the wire, in a box of 100 by 60 each: whole they meet in the middle, cut they hang. */
const SHAPES = {
  whole: { near: "M0 12C34 26 68 33 100 33", far: "M0 33C32 33 66 26 100 12" },
  cut: { near: "M0 12C22 17 40 22 46 60", far: "M54 60C60 22 78 17 100 12" },
} as const;

/** Where waiting messages sit on the near end of the cut wire: points of its curve, as parts of the way. */
const PERCHES: readonly number[] = [0.1, 0.24, 0.38, 0.5, 0.6];

/** More would only be a blur. */
const IN_THE_AIR = 6;

export class Wire {
  readonly element: HTMLElement;
  readonly #house: House;
  readonly #sky = html("div", { class: "sky", "aria-hidden": "true" });
  readonly #perched = PERCHES.map(perch);
  readonly #near = svg("path", { class: "strand" });
  readonly #far = svg("path", { class: "strand" });
  readonly #title = html("strong", { class: "line-title" });
  readonly #detail = html("span", { class: "line-detail" });
  readonly #waiting = html("span", { class: "line-waiting" });
  readonly #switch: HTMLButtonElement;
  #flying = 0;

  constructor(house: House) {
    this.#house = house;
    this.#switch = button("", { class: "cutter" }, () => {
      if (house.network.isCut) house.network.restore();
      else house.network.cut();
    });
    this.#sky.append(half("near", this.#near), half("far", this.#far), ...this.#perched);
    this.element = html(
      "header",
      { class: "line" },
      html("div", { class: "brand" }, mark(), html("span", { class: "wordmark" }, "Homing")),
      html("div", { class: "span" }, this.#sky, this.#switch),
      html("div", { class: "far-end", "aria-hidden": "true" }, loft(), html("span", {}, "Server")),
      html("p", { class: "line-state", role: "status" }, html("i", { class: "lamp" }), this.#title, this.#detail, this.#waiting),
    );
  }

  draw(): void {
    const { line, network, waiting } = this.#house;
    const shape = line.kind === "open" || line.kind === "trying" ? SHAPES.whole : SHAPES.cut;
    this.element.dataset["kind"] = line.kind;
    this.#near.setAttribute("d", shape.near);
    this.#far.setAttribute("d", shape.far);
    say(this.#title, line.title);
    say(this.#detail, line.detail);
    say(this.#waiting, waiting === 0 || line.kind === "open" ? "" : `${waiting} ${waiting === 1 ? "message waits" : "messages wait"}`);
    this.#perched.forEach((bird, at) => bird.classList.toggle("here", shape === SHAPES.cut && at < waiting));
    say(this.#switch, network.isCut ? "Mend the line" : "Cut the line");
  }

  /** Sends a pigeon along the wire. */
  fly(direction: "out" | "in"): void {
    if (document.hidden || this.#flying >= IN_THE_AIR || this.element.dataset["kind"] !== "open") return;
    const courier = svg("svg", { class: `courier courier-${direction}`, viewBox: "0 0 32 32" }, pigeon());
    this.#flying += 1;
    this.#sky.append(courier);
    // Not at the animation's end: where motion is not wanted, nothing is animated.
    setTimeout(() => {
      courier.remove();
      this.#flying -= 1;
    }, 1400);
  }
}

const half = (side: string, strand: SVGPathElement): SVGSVGElement =>
  svg("svg", { class: `half half-${side}`, viewBox: "0 0 100 60", preserveAspectRatio: "none" }, strand);

/** A pigeon that waits on the cut wire. */
const perch = (part: number): SVGSVGElement => {
  const bird = svg("svg", { class: "perched", viewBox: "0 0 32 32" }, pigeon());
  const along = ([a, b, c, d]: readonly [number, number, number, number]): number =>
    (1 - part) ** 3 * a + 3 * (1 - part) ** 2 * part * b + 3 * (1 - part) * part ** 2 * c + part ** 3 * d;
  // The curve of SHAPES.cut.near; its box is half as wide as the sky.
  bird.style.left = `${along([0, 22, 40, 46]) / 2}%`;
  bird.style.setProperty("--height", String(along([12, 17, 22, 60]) / 60));
  return bird;
};

/** Where the pigeons fly to. */
const loft = (): SVGSVGElement =>
  svg(
    "svg",
    { class: "loft", viewBox: "0 0 32 32", focusable: "false" },
    svg("path", { d: "M4 15 16 5l12 10v13H4z" }),
    svg("path", { class: "loft-door", d: "M12.500 28v-7a3.500 3.500 0 0 1 7 0v7z" }),
    svg("circle", { class: "loft-door", cx: 16, cy: 13, r: 1.800 }),
  );
