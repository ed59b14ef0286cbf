// The line under the maps: where the mouse is, and how the maps are shown.

import { el, uniqueId } from "./dom.js";
import { count, lonLat } from "./format.js";

export class MapBar {
  /** @param {{heat: Function, modelView: Function}} listeners */
  constructor(listeners, { live }) {
    this.readout = el("p", { class: "gf-readout" });
    const heat = uniqueId("heat");
    this.heat = el("input", {
      id: heat, type: "range", min: 0, max: 100, step: 5, value: 60,
      on: { input: () => listeners.heat(this.heat.valueAsNumber / 100) },
    });
    this.follow = el("input", { type: "checkbox", checked: true });
    this.asModel = el("input", { type: "checkbox", on: { change: () => listeners.modelView(this.asModel.checked) } });
    this.element = el("div", { class: "gf-map-bar", role: "group", "aria-label": "How the map is shown" }, this.readout,
      el("label", { class: "gf-inline", for: heat }, "Heat"), this.heat,
      live ? el("label", { class: "gf-inline" }, this.follow, "Follow the search") : null,
      live ? el("label", { class: "gf-inline" }, this.asModel, "As the model sees it") : null);
  }

  get follows() {
    return this.follow.checked;
  }

  /** @param {SceneMap|null} map null where the mouse has left */
  point(map, [x, y] = []) {
    const inside = map && x >= 0 && y >= 0 && x < map.scene.width && y < map.scene.height;
    if (!inside) {
      this.readout.textContent = "";
      return;
    }
    const place = map.ground?.knows(x, y) ? ` · ${lonLat(...map.ground.lonLat(x, y))}` : "";
    this.readout.textContent = `${count(Math.floor(x))}, ${count(Math.floor(y))} px${place}`;
  }
}
