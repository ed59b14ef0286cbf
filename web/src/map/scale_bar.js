// A scale bar of texts and one width: the map library's own writes HTML, which the page forbids.

import { el } from "../dom.js";
import { count, meters } from "../format.js";

const LONGEST = 110;

export class ScaleBar {
  constructor() {
    this.label = el("span");
    this.element = el("div", { class: "gf-scale" }, this.label);
  }

  /**
   * @param {number} resolution scene pixels a screen pixel
   * @param {number|null} metersPerPixel of the scene where the view is; null without a ground
   */
  show(resolution, metersPerPixel) {
    const unit = metersPerPixel ?? 1;
    const most = LONGEST * resolution * unit;
    const power = 10 ** Math.floor(Math.log10(most));
    const round = [5, 2, 1].map((digit) => digit * power).find((length) => length <= most);
    this.element.style.width = `${round / resolution / unit}px`;
    this.label.textContent = metersPerPixel ? meters(round) : `${count(round)} px`;
  }
}
