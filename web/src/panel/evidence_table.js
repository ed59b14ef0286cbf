// What the answer was read from: a row for each region whose tokens reached the model, or for each
// place that was found.

import { button, el, fill, uniqueId } from "../dom.js";
import { boxText, levelScale, lonLat, share } from "../format.js";

const FEW = 8;

export class EvidenceTable {
  /**
   * @param {{picked: Function, again: Function|null}} listeners `picked(index)` when a row is
   *   chosen; `again()` to ask about the marked or the best one
   */
  constructor(listeners) {
    this.listeners = listeners;
    this.all = false;
    this.marked = null;
    this.title = uniqueId("evidence");
    this.element = el("section", { class: "gf-evidence", hidden: true });
  }

  show(asking, gsd, marked = null) {
    if (this.asking !== asking) this.all = false;
    Object.assign(this, { asking, gsd, marked });
    const rows = asking?.evidence ?? [];
    this.element.hidden = !rows.length;
    const shown = this.all || (marked ?? 0) >= FEW ? rows : rows.slice(0, FEW);
    const more = rows.length > shown.length
      ? button(`Show all ${rows.length}`, () => { this.all = true; this.show(asking, gsd, marked); })
      : null;
    const { again } = this.listeners;
    const [title, heads] = asking?.isForPlaces ? ["Places", ["#", "Level", "Score", "Pixels"]]
      : ["Evidence", ["#", "Level", "Share", "Tokens", "Pixels"]];
    fill(this.element, el("div", { class: "gf-row" }, el("h3", { id: this.title }, title),
      again ? button("Ask again here", again, { class: "gf-end gf-low" }) : null),
      el("div", { class: "gf-scroll" }, el("table", { "aria-labelledby": this.title },
        el("thead", {}, el("tr", {}, heads.map((name) => el("th", { scope: "col" }, name)))),
        el("tbody", {}, shown.map((row, index) => this.#row(row, index))))),
      more);
  }

  /** Marks a row, and shows it where the list is longer than the window. */
  mark(index) {
    this.show(this.asking, this.gsd, index);
    this.element.querySelector("tr.gf-marked")?.scrollIntoView({ block: "nearest" });
  }

  #row(row, index) {
    const choose = button(String(index + 1), () => this.listeners.picked(index), {
      "aria-label": `Show ${this.asking.isForPlaces ? "place" : "evidence"} ${index + 1} on the map`,
      "aria-pressed": String(index === this.marked),
    });
    const place = centerOf(row.geometry);
    return el("tr", { class: index === this.marked ? "gf-marked" : null },
      el("td", {}, choose),
      el("td", { title: levelScale(row.level, this.gsd) }, row.level),
      el("td", {}, share(row.score)),
      this.asking.isForPlaces ? null : el("td", {}, row.tokens ?? ""),
      el("td", { class: "gf-place" }, boxText(row.box_scene.map(Math.round)),
        place ? el("span", { class: "gf-faint" }, lonLat(...place)) : null));
  }
}

/** The middle of a lon/lat polygon, or null; of several parts the first. */
function centerOf(geometry) {
  if (!geometry?.coordinates) return null;
  const ring = geometry.type === "MultiPolygon" ? geometry.coordinates[0][0] : geometry.coordinates[0];
  if (!ring) return null;
  const mean = (index) => ring.slice(0, -1).reduce((sum, point) => sum + point[index], 0) / (ring.length - 1);
  return [mean(0), mean(1)];
}
