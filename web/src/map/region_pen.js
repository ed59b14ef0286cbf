// A box or a polygon drawn on the map by hand.

import DragBox from "ol/interaction/DragBox.js";
import Draw from "ol/interaction/Draw.js";
import { Circle, Fill, Stroke, Style } from "ol/style.js";

export class RegionPen {
  constructor(map, scene) {
    this.map = map;
    this.scene = scene;
    this.interaction = null;
    this.end = null;
  }

  get isDrawing() {
    return this.interaction !== null;
  }

  /**
   * @param {"box"|"polygon"} shape
   * @returns {Promise<number[][]|null>} a ring in whole scene pixels; null if it was given up
   */
  draw(shape) {
    this.cancel();
    return new Promise((resolve) => {
      this.end = (ring) => {
        this.#stop();
        resolve(ring);
      };
      this.interaction = shape === "box" ? this.#box() : this.#polygon();
      this.map.addInteraction(this.interaction);
      this.map.getTargetElement().classList.add("gf-drawing");
    });
  }

  cancel() {
    this.end?.(null);
  }

  #box() {
    const drag = new DragBox({ className: "gf-dragbox", minArea: 16 });
    drag.on("boxend", () => this.end(this.#ring(drag.getGeometry())));
    return drag;
  }

  #polygon() {
    const line = new Stroke({ color: "#ffffff", width: 2, lineDash: [7, 5] });
    const dot = new Circle({ radius: 5, fill: new Fill({ color: "#ffd84d" }), stroke: new Stroke({ color: "#14181d", width: 1.5 }) });
    const style = new Style({ stroke: line, fill: new Fill({ color: "rgba(255,255,255,.15)" }), image: dot });
    const draw = new Draw({ type: "Polygon", style, stopClick: true });
    draw.on("drawend", (event) => this.end(this.#ring(event.feature.getGeometry())));
    return draw;
  }

  #ring(polygon) {
    const clamp = (value, most) => Math.round(Math.min(Math.max(value, 0), most));
    return polygon.getCoordinates()[0].slice(0, -1)
      .map(([x, y]) => [clamp(x, this.scene.width), clamp(-y, this.scene.height)]);
  }

  #stop() {
    const finished = this.interaction;
    this.interaction = null;
    this.end = null;
    this.map.getTargetElement()?.classList.remove("gf-drawing");
    // after the click that ended it: the map would take that as a double click
    setTimeout(() => this.map.removeInteraction(finished), 0);
  }
}
