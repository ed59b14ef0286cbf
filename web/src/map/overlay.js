// What the search did, over the pixels: heat, tiles by level, evidence, the region. One canvas,
// drawn anew with each frame; everything is a box in scene pixels.

import Layer from "ol/layer/Layer.js";
import { strongestOf } from "../asking.js";
import { share } from "../format.js";
import { levelColor } from "./level_colors.js";

const CASING = "rgba(10, 14, 20, 0.6)";
const HEAT = [255, 36, 110];
const REGION = "#ffffff";
const TRUTH = "#43d17c";
const POINT = 12;

/** A map layer that draws a model: see `Overlay.model`. */
export class Overlay {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.canvas.className = "gf-overlay";
    this.layer = new Layer({ render: (frame) => this.#render(frame) });
    /** What is drawn. */
    this.model = {
      asking: null, top: 0, heat: 0.6, hidden: new Set(), marked: null, region: null, tiles: true,
    };
  }

  /** Changes parts of the model and asks for a frame. */
  set(changes) {
    Object.assign(this.model, changes);
    this.layer.changed();
  }

  #render(frame) {
    const [width, height] = frame.size;
    const ratio = frame.pixelRatio;
    resize(this.canvas, width, height, ratio);
    const pen = this.canvas.getContext("2d");
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    const place = screenOf(frame, ratio);
    const view = { pen, place, ratio, width: this.canvas.width, height: this.canvas.height };
    if (this.model.asking?.isOnGrid) {
      drawHeat(view, this.model);
      if (this.model.tiles) drawTiles(view, this.model);
      drawWaiting(view, this.model);
    }
    if (this.model.asking) {
      drawEvidence(view, this.model);
      drawTruth(view, this.model.asking.truth?.boxes ?? []);
    }
    if (this.model.region) drawRegion(view, this.model.region);
    return this.canvas;
  }
}

function resize(canvas, width, height, ratio) {
  const [wide, tall] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide || canvas.height !== tall) Object.assign(canvas, { width: wide, height: tall });
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
}

/** From scene pixels to canvas pixels, as an affine of six numbers: views may be rotated. */
function screenOf(frame, ratio) {
  const [a, b, c, d, e, f] = frame.coordinateToPixelTransform;
  // map coordinates are (x, -y)
  return [a * ratio, b * ratio, -c * ratio, -d * ratio, e * ratio, f * ratio];
}

function corners({ place: [a, b, c, d, e, f] }, [x0, y0, x1, y1]) {
  return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]].map(([x, y]) => [a * x + c * y + e, b * x + d * y + f]);
}

function trace(pen, points) {
  pen.beginPath();
  points.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  pen.closePath();
}

function outside(view, points) {
  const xs = points.map((point) => point[0]);
  const ys = points.map((point) => point[1]);
  return Math.max(...xs) < 0 || Math.max(...ys) < 0
    || Math.min(...xs) > view.width || Math.min(...ys) > view.height;
}

/** The finest scored look shows at each place: a finer level wipes what a coarser one drew. */
function drawHeat(view, { asking, heat, hidden }) {
  if (heat <= 0) return;
  const { pen, place } = view;
  pen.setTransform(...place);
  for (const level of asking.ladder) {
    if (level.flat || hidden.has(level.level)) continue;
    const strongest = strongestOf(level.scores);
    for (const [x0, y0, x1, y1] of level.tiles.values()) pen.clearRect(x0, y0, x1 - x0, y1 - y0);
    level.boxes.forEach(([x0, y0, x1, y1], i) => {
      const strength = Math.sqrt(level.scores[i] / strongest);
      if (strength < 0.12) return;
      pen.fillStyle = `rgba(${HEAT.join(",")},${(heat * strength).toFixed(3)})`;
      pen.fillRect(x0, y0, x1 - x0, y1 - y0);
    });
  }
  pen.setTransform(1, 0, 0, 1, 0, 0);
}

/** Tiles that were looked at. Those that are larger than the window stay faint: they say nothing. */
function drawTiles(view, { asking, top, hidden }) {
  const labels = [];
  const numbered = finestEvidence(asking);
  for (const level of asking.ladder) {
    if (hidden.has(level.level)) continue;
    const color = levelColor(level.level, top);
    for (const box of level.tiles.values()) {
      const points = corners(view, box);
      if (outside(view, points)) continue;
      const size = Math.hypot(points[1][0] - points[0][0], points[1][1] - points[0][1]);
      const room = size / Math.max(view.width, view.height);
      const faint = room > 1.2 ? 0.25 : asking.answer ? 0.55 : 0.9;
      outline(view, points, color, 1.25, faint);
      // tiles of the evidence bear its numbers instead
      if (numbered === level.level) continue;
      if (size > 44 * view.ratio && room < 1.2) labels.push({ at: points[0], level: level.level, color });
    }
  }
  drawLabels(view, labels);
}

function outline({ pen, ratio }, points, color, width, alpha = 1, dash = []) {
  pen.save();
  pen.globalAlpha = alpha;
  trace(pen, points);
  pen.lineJoin = "round";
  pen.strokeStyle = CASING;
  pen.lineWidth = (width + 1.5) * ratio;
  pen.stroke();
  pen.setLineDash(dash.map((length) => length * ratio));
  pen.strokeStyle = color;
  pen.lineWidth = width * ratio;
  pen.stroke();
  pen.restore();
}

/** The number of its level in the corner of a tile; where two would meet, the finer one stays. */
function drawLabels(view, labels) {
  const { pen, ratio } = view;
  const taken = [];
  pen.font = `600 ${11 * ratio}px system-ui, sans-serif`;
  pen.textBaseline = "middle";
  for (const { at: [x, y], level, color } of labels.reverse()) {
    const text = `L${level}`;
    const box = [x, y, x + pen.measureText(text).width + 8 * ratio, y + 16 * ratio];
    if (taken.some((other) => meets(box, other))) continue;
    taken.push(box);
    pen.fillStyle = "rgba(10, 14, 20, 0.72)";
    pen.fillRect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
    pen.fillStyle = color;
    pen.fillText(text, x + 4 * ratio, y + 8.5 * ratio);
  }
}

function meets(a, b) {
  return a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
}

function drawWaiting(view, { asking, top }) {
  for (const { level, box } of asking.waiting) {
    const points = corners(view, box);
    if (outside(view, points)) continue;
    trace(view.pen, points);
    view.pen.fillStyle = "rgba(255, 255, 255, 0.16)";
    view.pen.fill();
    outline(view, points, levelColor(level, top), 2, 1, [6, 4]);
  }
}

function finestEvidence(asking) {
  return asking.evidence.reduce((finest, row) => Math.min(finest, row.level), Infinity);
}

/** Evidence of the finest level that has any, numbered like the table; the marked one always. */
function drawEvidence(view, { asking, marked }) {
  const rows = asking.evidence;
  if (!rows.length) return;
  const finest = finestEvidence(asking);
  const numbered = rows.map((row, index) => ({ ...row, index }))
    .filter((row) => row.level === finest || row.index === marked);
  for (const { box_scene: box, index, score } of numbered) {
    const points = corners(view, box);
    if (outside(view, points)) continue;
    const color = index === marked ? "#ffd84d" : "#ffffff";
    const size = span(points) / view.ratio;
    if (size < POINT) locator(view, points, color);
    else outline(view, points, color, index === marked ? 3 : 2);
    const text = asking.isForPlaces && size > 70 ? `${index + 1} · ${share(score)}` : String(index + 1);
    if (size > 34) badge(view, points[2], text, color);
  }
}

/** The longer side of a box on the screen. */
function span(points) {
  return Math.max(...[1, 3].map((i) => Math.hypot(points[i][0] - points[0][0], points[i][1] - points[0][1])));
}

/** A ring around what is too small to be seen from here. */
function locator({ pen, ratio }, points, color) {
  const [x, y] = [0, 1].map((i) => (points[0][i] + points[2][i]) / 2);
  for (const [style, width] of [[CASING, 5], [color, 2.5]]) {
    pen.beginPath();
    pen.arc(x, y, 13 * ratio, 0, 2 * Math.PI);
    pen.strokeStyle = style;
    pen.lineWidth = width * ratio;
    pen.stroke();
  }
}

/** Annotated places, dotted so that they differ from evidence without color too. */
function drawTruth(view, boxes) {
  for (const box of boxes) {
    const points = corners(view, box);
    if (outside(view, points)) continue;
    if (span(points) / view.ratio < POINT) locator(view, points, TRUTH);
    else outline(view, points, TRUTH, 3, 1, [3, 3]);
  }
}

/** A number inside the lower right corner of a box; drawn where the box has room for it. */
function badge({ pen, ratio }, [x, y], text, color) {
  pen.font = `600 ${12 * ratio}px system-ui, sans-serif`;
  const wide = Math.max(20 * ratio, pen.measureText(text).width + 10 * ratio);
  pen.fillStyle = color;
  pen.fillRect(x - wide, y - 20 * ratio, wide, 20 * ratio);
  pen.fillStyle = "#14181d";
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillText(text, x - wide / 2, y - 9.5 * ratio);
  pen.textAlign = "start";
}

/** All but the region is darkened. */
function drawRegion(view, rings) {
  const { pen, place: [a, b, c, d, e, f] } = view;
  const shapes = rings.map((ring) => ring.map(([x, y]) => [a * x + c * y + e, b * x + d * y + f]));
  pen.beginPath();
  pen.rect(0, 0, view.width, view.height);
  for (const points of shapes) {
    points.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
    pen.closePath();
  }
  pen.fillStyle = "rgba(10, 14, 20, 0.35)";
  pen.fill("evenodd");
  for (const points of shapes) outline(view, points, REGION, 1.5, 1, [7, 5]);
}
