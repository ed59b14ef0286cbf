// What is known of a scene before anything is asked.

import { el } from "../dom.js";
import { count, meters } from "../format.js";

const PLACES = { affine: null, gcps: "by ground control points", rpcs: "by rational polynomials" };

/** @param {Object} scene facts as the server has them */
export function sceneFacts(scene, model) {
  const gsd = scene.gsd_m ? `${meters(scene.gsd_m)} per pixel` : null;
  const head = [`${count(scene.width)} × ${count(scene.height)} px`, gsd, scene.crs ?? (scene.affine ? "no CRS" : "no georeference")];
  const rows = [
    ["Bands", `${scene.bands.length} × ${scene.dtype}`],
    ["Colors", scene.shown],
    ["Place", PLACES[scene.georef]],
    ["Model", model],
    ...(scene.warnings ?? []).map((text) => ["Warning", text]),
  ].filter(([, value]) => value);
  return el("details", { class: "gf-facts" },
    el("summary", {}, head.filter(Boolean).join(" · ")),
    el("dl", { class: "gf-cost" }, rows.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])));
}
