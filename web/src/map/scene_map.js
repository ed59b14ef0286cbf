// One scene on a map, in its own pixel space: views, tiles, what the search did.

import OlMap from "ol/Map.js";
import View from "ol/View.js";
import TileLayer from "ol/layer/Tile.js";
import { defaults as defaultInteractions } from "ol/interaction/defaults.js";
import { el, icon, visible } from "../dom.js";
import { Ground } from "./ground.js";
import { Overlay } from "./overlay.js";
import { RegionPen } from "./region_pen.js";
import { ScaleBar } from "./scale_bar.js";
import { extentOf, pixelProjection, tileSource } from "./tile_source.js";

const FINEST = 1 / 16;

export class SceneMap {
  /**
   * @param {Object} transport where tiles come from
   * @param {Object} scene facts of the scene
   * @param {{moved: Function, pointed: Function, picked: Function}} listeners
   */
  constructor(transport, scene, listeners) {
    this.transport = transport;
    this.scene = scene;
    this.ground = scene.ground ? new Ground(scene.ground) : null;
    this.overlay = new Overlay();
    this.overlay.set({ top: (scene.model_grid ?? scene.grid).levels - 1 });
    this.projection = pixelProjection(scene);
    this.tiles = new TileLayer({ source: this.#source("view"), preload: 1 });
    this.target = el("div", {
      class: "gf-map", tabindex: 0, role: "application",
      "aria-label": `Map of ${scene.name}. Arrow keys move it, plus and minus zoom.`,
    });
    this.scaleBar = new ScaleBar();
    this.needle = el("button", {
      type: "button", class: "gf-needle", hidden: true, "aria-label": "Turn north up",
      title: "Turn north up", on: { click: () => this.northUp() },
    }, el("span", { "aria-hidden": "true" }, "N"));
    this.note = el("p", { class: "gf-map-note", hidden: true });
    this.element = el("div", { class: "gf-map-cell" }, this.target, this.#zoomButtons(),
      el("div", { class: "gf-map-foot" }, this.scaleBar.element, this.needle), this.note);
    this.map = this.#map();
    this.pen = new RegionPen(this.map, scene);
    this.#listen(listeners);
  }

  #map() {
    const span = Math.max(this.scene.width, this.scene.height);
    return new OlMap({
      target: this.target,
      controls: [],
      interactions: defaultInteractions({ altShiftDragRotate: true, onFocusOnly: false }),
      layers: [this.tiles, this.overlay.layer],
      view: new View({
        projection: this.projection,
        extent: grown(extentOf(this.scene), 0.5),
        showFullExtent: true,
        center: [this.scene.width / 2, -this.scene.height / 2],
        resolution: span / 600,
        maxResolution: span / 100,
        minResolution: FINEST,
      }),
    });
  }

  #source(kind) {
    const source = tileSource(this.transport, this.scene, kind, this.projection);
    // beyond native, single pixels are what there is to see
    source.getInterpolate = () => this.map === undefined || this.view.getResolution() > 0.99;
    return source;
  }

  get view() {
    return this.map.getView();
  }

  #zoomButtons() {
    const zoom = (step, label, sign) => el("button", {
      type: "button", "aria-label": label, title: label,
      on: { click: () => this.view.animate({ zoom: this.view.getZoom() + step, duration: quick(180) }) },
    }, icon(sign));
    const whole = el("button", {
      type: "button", "aria-label": "Show the whole scene", title: "Show the whole scene",
      on: { click: () => this.whole() },
    }, icon("M1.5 5.5v-4h4M10.5 1.5h4v4M14.5 10.5v4h-4M5.5 14.5h-4v-4"));
    return el("div", { class: "gf-zoom" }, zoom(1, "Zoom in", "M8 2.5v11M2.5 8h11"), zoom(-1, "Zoom out", "M2.5 8h11"), whole);
  }

  #listen({ moved, pointed, picked }) {
    this.view.on(["change:center", "change:resolution", "change:rotation"], () => {
      this.#drawScale();
      moved(this);
    });
    this.map.on("pointermove", (event) => {
      if (!event.dragging) pointed(this, [event.coordinate[0], -event.coordinate[1]]);
    });
    this.map.on("click", (event) => {
      if (!this.pen.isDrawing) picked(this, [event.coordinate[0], -event.coordinate[1]]);
    });
    this.map.on("rendercomplete", () => {
      const renders = Number(this.element.dataset.renders ?? 0) + 1;
      this.element.dataset.renders = String(renders);
    });
    this.map.on("change:size", () => this.#drawScale());
  }

  #drawScale() {
    const [x, y] = this.center();
    const known = this.ground?.knows(x, y) ?? false;
    const meters = known ? this.ground.metersPerPixel(x, y) : this.scene.gsd_m;
    this.scaleBar.show(this.view.getResolution(), meters || null);
    this.needle.hidden = !known;
    if (!known) return;
    const turn = Math.PI / 2 - this.ground.north(x, y) + this.view.getRotation();
    this.needle.style.transform = `rotate(${turn}rad)`;
  }

  /** The middle of the view in scene pixels. */
  center() {
    const [x, y] = this.view.getCenter();
    return [x, -y];
  }

  /** Shows the scene as people see it, or as the model is given it. */
  showAs(kind) {
    this.tiles.setSource(this.#source(kind));
  }

  /** Puts a box in scene pixels into the middle, with its surroundings. */
  fit([x0, y0, x1, y1], { margin = 0.25, duration = 450 } = {}) {
    const extent = grown([x0, -y1, x1, -y0], margin);
    if (!this.map.getSize()) return;
    this.view.fit(extent, { duration: quick(duration), minResolution: FINEST });
  }

  whole(duration = 300) {
    this.fit([0, 0, this.scene.width, this.scene.height], { margin: 0.02, duration });
  }

  /** Turns the view so that north at its middle is up. */
  northUp() {
    if (!this.ground?.knows(...this.center())) return;
    const angle = this.ground.north(...this.center());
    this.view.animate({ rotation: angle - Math.PI / 2, duration: quick(300) });
  }

  /** What the window shows, as a ring of scene pixels cut to the scene; null beside the scene. */
  viewRing() {
    const [width, height] = this.map.getSize();
    const shown = [[0, 0], [width, 0], [width, height], [0, height]]
      .map((pixel) => this.map.getCoordinateFromPixel(pixel))
      .map(([x, y]) => [x, -y]);
    const ring = clipped(shown, this.scene.width, this.scene.height);
    return ring.length > 2 ? ring : null;
  }

  state() {
    const [x, y] = this.center();
    return { x, y, resolution: this.view.getResolution(), rotation: this.view.getRotation() };
  }

  setState({ x, y, resolution, rotation }) {
    this.view.setCenter([x, -y]);
    this.view.setResolution(resolution);
    if (rotation !== undefined) this.view.setRotation(rotation);
  }

  /** Says in the map why there is nothing to see yet, or at all. */
  setNote(text) {
    const note = visible(text);
    this.note.hidden = !note;
    if (this.note.textContent !== note) this.note.textContent = note;
  }

  dispose() {
    this.pen.cancel();
    this.map.setTarget(null);
    this.map.dispose();
    this.element.remove();
  }
}

/** Milliseconds of a movement; none for people who asked their system for none. */
export function quick(duration) {
  return matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : duration;
}

function grown([x0, y0, x1, y1], part) {
  const [dx, dy] = [(x1 - x0) * part, (y1 - y0) * part];
  return [x0 - dx, y0 - dy, x1 + dx, y1 + dy];
}

/** A convex ring cut to the scene (Sutherland and Hodgman, 1974), in whole pixels. */
function clipped(ring, width, height) {
  const sides = [
    [(p) => p[0], 0, 1], [(p) => p[0], width, -1], [(p) => p[1], 0, 1], [(p) => p[1], height, -1],
  ];
  let points = ring;
  for (const [along, limit, sign] of sides) {
    const inside = (point) => sign * (along(point) - limit) >= 0;
    const source = points;
    points = [];
    source.forEach((point, i) => {
      const before = source[(i + source.length - 1) % source.length];
      if (inside(point) !== inside(before)) {
        const t = (limit - along(before)) / (along(point) - along(before));
        points.push([before[0] + t * (point[0] - before[0]), before[1] + t * (point[1] - before[1])]);
      }
      if (inside(point)) points.push(point);
    });
  }
  return points.map(([x, y]) => [Math.round(x), Math.round(y)]);
}
