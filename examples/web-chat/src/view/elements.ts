// Making elements: one function for HTML, one for drawings, and drawing once per frame. Text only ever becomes
// text nodes, so nothing that others wrote can become markup.

type Child = Node | string | undefined;

interface Attributes {
  readonly [name: string]: string | number | boolean | undefined;
}

const fill = <E extends Element>(element: E, attributes: Attributes, children: readonly Child[]): E => {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) if (child !== undefined) element.append(child);
  return element;
};

export const html = <K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] => fill(document.createElement(tag), attributes, children);

export const svg = <K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly Child[]
): SVGElementTagNameMap[K] => fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

export const button = (label: string, attributes: Attributes, pressed: () => void): HTMLButtonElement => {
  const element = html("button", { type: "button", ...attributes }, label);
  element.addEventListener("click", pressed);
  return element;
};

/** Sets text only where it differs, so that a screen reader does not read it again. */
export const say = (element: Element, text: string): void => {
  if (element.textContent !== text) element.textContent = text;
};

/** However often it is called, `draw` runs once before the next frame; in a hidden tab a little later. */
export const oncePerFrame = (draw: () => void): (() => void) => {
  let planned = false;
  const run = (): void => {
    planned = false;
    draw();
  };
  return () => {
    if (planned) return;
    planned = true;
    if (document.hidden) setTimeout(run, 100);
    else requestAnimationFrame(run);
  };
};

/** Gives `parent` exactly these children in this order, moving no element that stands right already. */
export const arrange = (parent: Element, children: readonly Element[]): void => {
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let next = parent.firstElementChild;
  for (const child of children) {
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
  }
};
