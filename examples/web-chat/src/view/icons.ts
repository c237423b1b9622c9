// The page's drawings. All are decoration: what they mean stands beside them as text, or in a label.

import { svg } from "./elements.js";

const drawn = (name: string, ...paths: readonly string[]): SVGSVGElement =>
  svg(
    "svg",
    { class: `icon icon-${name}`, viewBox: "0 0 16 16", "aria-hidden": "true", focusable: "false" },
    ...paths.map((d) => svg("path", { d })),
  );

export const icons = {
  clock: () => drawn("clock", "M8 2.200a5.800 5.800 0 1 0 0 11.600A5.800 5.800 0 0 0 8 2.200", "M8 5v3.200l2 1.300"),
  tick: () => drawn("tick", "m3 8.600 3.200 3.200L13 4.600"),
  alert: () => drawn("alert", "M8 2.200a5.800 5.800 0 1 0 0 11.600A5.800 5.800 0 0 0 8 2.200", "M8 5v3.600", "M8 11v.1"),
  send: () => drawn("send", "M8 13V3.200", "M3.600 7.400 8 3l4.400 4.400"),
  down: () => drawn("down", "M8 3v9.800", "M3.600 8.600 8 13l4.400-4.400"),
  plus: () => drawn("plus", "M8 3v10", "M3 8h10"),
  pen: () => drawn("pen", "m10.600 3 2.400 2.400L5.800 12.600l-3 .6.6-3z"),
  people: () => drawn("people", "M6 7.600a2.400 2.400 0 1 0 0-4.800 2.400 2.400 0 0 0 0 4.800", "M1.800 13.200c.2-2.400 1.800-3.800 4.200-3.800s4 1.400 4.200 3.800", "M10.800 3a2.300 2.300 0 0 1 0 4.400", "M12 9.700c1.400.5 2.100 1.700 2.300 3.500"),
  close: () => drawn("close", "m4 4 8 8", "m12 4-8 8"),
} as const;

/** A pigeon that looks to the right; 32 by 32. */
export const pigeon = (): SVGGElement =>
  svg(
    "g",
    { class: "pigeon" },
    svg("path", {
      class: "pigeon-body",
      d: "M2 21.500 12.200 16C14 11.500 16 6.500 22 6.500c3 0 4.800 1.800 5.100 4.200l3.400 1.500-3.300 1.200C27 20 23 25 16 25H9.500z",
    }),
    svg("path", {
      class: "pigeon-neck",
      d: "M17.600 11.200c1.400 2.900 4.700 4.600 9.400 4.200-.4 1.400-1 2.700-1.800 3.900-4 .7-8.300-1.600-9.300-5z",
    }),
  );

export const mark = (): SVGSVGElement =>
  svg("svg", { class: "mark", viewBox: "0 0 32 32", "aria-hidden": "true", focusable: "false" }, pigeon());
