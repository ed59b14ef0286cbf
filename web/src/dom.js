// Elements out of plain values. Texts become text nodes and nothing else: a question, a warning
// or the name of a file can never turn into markup.

/**
 * @param {string} tag name of the element
 * @param {Object} [attributes] `on` holds listeners; null and false are left out, true is empty
 * @param {...(Node|string|number|null|false|Array)} children
 * @returns {HTMLElement}
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : visible(value));
    }
  }
  element.append(...nodes(children));
  return element;
}

// controls, and what turns the direction of letters around it
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;

/**
 * A text in which what cannot be seen is written as `\u202e`: otherwise a file name or a question
 * could put the letters of its neighbors into another order, and look like what it is not.
 */
export function visible(text) {
  return String(text).replace(UNSEEN, (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Replaces what an element holds; null and false are left out. */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
  return element;
}

function nodes(children) {
  return children.flat(3)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : document.createTextNode(visible(child))));
}

/** A button with a text. */
export function button(text, onClick, attributes = {}) {
  return el("button", { type: "button", ...attributes, on: { click: onClick } }, text);
}

/** A line drawing of 16 × 16. */
export function icon(path) {
  const space = "http://www.w3.org/2000/svg";
  const picture = document.createElementNS(space, "svg");
  const line = document.createElementNS(space, "path");
  const looks = { fill: "none", stroke: "currentColor", "stroke-width": "1.8", d: path };
  for (const [name, value] of Object.entries(looks)) line.setAttribute(name, value);
  for (const [name, value] of Object.entries({ viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": true })) {
    picture.setAttribute(name, String(value));
  }
  picture.append(line);
  return picture;
}

let labels = 0;

/** An id that no other element of the document has: two widgets may stand in one notebook. */
export function uniqueId(stem) {
  labels += 1;
  return `geofovea-${stem}-${labels}`;
}

/** Hands a file to the person: the browser's own download. */
export function saveBlob(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = el("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
