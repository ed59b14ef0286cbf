// The levels that were looked at, from coarse to native: tiles, tokens, and whether they are shown.

import { el, fill } from "../dom.js";
import { levelScale, plural } from "../format.js";
import { levelColor } from "../map/level_colors.js";

export class LevelLadder {
  /** @param {{zoomed: Function, toggled: Function}} listeners each takes the number of a level */
  constructor(listeners) {
    this.listeners = listeners;
    this.hidden = new Set();
    this.list = el("ol", { class: "gf-ladder", "aria-label": "Levels that were looked at" });
    this.element = el("section", { hidden: true }, el("h3", {}, "Where it looked"), this.list);
    this.rows = new Map();
  }

  /**
   * @param {Asking|null} asking
   * @param {number} top the coarsest level of the scene
   * @param {number|null} gsd meters that a native pixel covers
   */
  show(asking, top, gsd) {
    const ladder = asking?.ladder ?? [];
    this.element.hidden = !ladder.length;
    const rows = ladder.map((level) => this.#row(level, top, gsd));
    for (const number of [...this.rows.keys()]) {
      if (!ladder.some((level) => level.level === number)) this.rows.delete(number);
    }
    const waiting = new Set(asking?.waiting.map((tile) => tile.level));
    ladder.forEach((level, i) => this.#update(rows[i], level, waiting.has(level.level)));
    // the same elements in the same order keep the focus of the keyboard
    if (rows.some((row, i) => this.list.children[i] !== row) || rows.length !== this.list.children.length) {
      fill(this.list, rows);
    }
  }

  #row(level, top, gsd) {
    const { level: number } = level;
    const known = this.rows.get(number);
    if (known) return known;
    const swatch = el("span", { class: "gf-swatch", "aria-hidden": "true" });
    swatch.style.background = levelColor(number, top);
    const zoom = el("button", { type: "button", class: "gf-rung", on: { click: () => this.listeners.zoomed(number) } },
      swatch, el("span", { class: "gf-level" }, `Level ${number}`),
      el("span", { class: "gf-faint" }, levelScale(number, gsd)), el("span", { class: "gf-counts" }));
    const show = el("input", {
      type: "checkbox", checked: !this.hidden.has(number), "aria-label": `Show level ${number}`,
      on: { change: (event) => this.#toggle(number, event.target.checked) },
    });
    const row = el("li", {}, zoom, el("label", { class: "gf-check", title: "Show its tiles and heat" }, show));
    this.rows.set(number, row);
    return row;
  }

  #toggle(number, shown) {
    if (shown) this.hidden.delete(number);
    else this.hidden.add(number);
    this.listeners.toggled(this.hidden);
  }

  #update(row, level, waiting) {
    const tokens = level.boxes.length ? `, ${plural(level.boxes.length, "token")}` : "";
    const flat = level.boxes.length && level.flat ? ", even" : "";
    const text = plural(level.tiles.size, "tile") + tokens + flat + (waiting ? " …" : "");
    row.querySelector(".gf-counts").textContent = text;
    row.classList.toggle("gf-waiting", waiting);
    row.title = flat ? "All places of this level scored alike: there is no heat to show." : "";
  }
}
