// What came back: the answer, how sure the model is, what a careful reader should know, the cost.

import { button, el, fill } from "../dom.js";
import { count, plural, seconds, share } from "../format.js";

const STOPPED = {
  native: "It reached native resolution.",
  tiles: "It used its budget of tiles.",
  tokens: "It used its budget of tokens.",
  complete: "It looked at every tile.",
  time: "It ran out of time.",
  nodata: "There was nothing more to look at.",
  flat: "No place stood out, so it did not look closer.",
  confident: "The model was sure enough.",
  published: "It looked as the published method does.",
};

const EXPORTS = [
  ["JSON", "answer.json", "answer.json"], ["GeoJSON", "evidence.geojson", "evidence.geojson"],
  ["PNG", "picture.png", "answer.png"], ["Page", "page.html", "answer.html"],
];

export class AnswerCard {
  /** @param {{exported: Function|null}} listeners null where nothing can be saved */
  constructor(listeners) {
    this.listeners = listeners;
    this.element = el("div", { class: "gf-answer", hidden: true });
  }

  /** @param {Asking|null} asking */
  show(asking) {
    const answer = asking?.answer;
    this.element.hidden = !answer;
    if (!answer) return;
    fill(this.element,
      el("h3", { class: "gf-asked" }, answer.question || "Every change"),
      el("p", { class: "gf-text" }, answer.answer || "(no words)"),
      asking.isForPlaces ? null : confidence(answer),
      truth(asking.truth),
      warnings(answer.warnings),
      choices(answer.choices),
      cost(answer),
      this.#actions());
  }

  #actions() {
    const { exported } = this.listeners;
    if (!exported) return null;
    return el("div", { class: "gf-row gf-actions", role: "group", "aria-label": "Save as" },
      el("span", { class: "gf-faint", "aria-hidden": "true" }, "Save as"),
      EXPORTS.map(([label, file, name]) => button(label, () => exported(file, name), {
        "aria-label": `Save as ${label}`,
      })));
  }
}

function confidence(answer) {
  const known = answer.confidence !== null && answer.confidence_known !== false;
  const text = answer.confidence_text ?? (known ? `${share(answer.confidence)} sure` : "The model does not say how sure it is.");
  if (!known) return el("p", { class: "gf-sure" }, text);
  const bar = el("span", { class: "gf-bar", "aria-hidden": "true" }, el("span"));
  bar.firstChild.style.width = share(answer.confidence).replace("<", "");
  return el("p", { class: "gf-sure" }, bar, text);
}

/** What would have been right, on the page of a benchmark's answer. */
function truth(known) {
  if (!known) return null;
  const { answers, boxes } = known;
  const place = boxes.length ? [el("span", { class: "gf-truth-line", "aria-hidden": "true" }),
    `${plural(boxes.length, "annotated place")} on the map`] : null;
  return el("p", { class: "gf-truth" }, `Right: ${answers.join(", ")}`, place);
}

function warnings(texts) {
  if (!texts?.length) return null;
  return el("ul", { class: "gf-warnings", "aria-label": "Warnings" },
    texts.map((text) => el("li", {}, text)));
}

function choices(rows) {
  if (!rows?.length) return null;
  const sorted = [...rows].sort((a, b) => b.probability - a.probability);
  return el("ol", { class: "gf-choices" }, sorted.map((row) => el("li", {},
    el("span", {}, row.text), el("span", { class: "gf-faint" }, share(row.probability)))));
}

function cost(answer) {
  const spent = answer.cost ?? {};
  const rows = [
    ["Tiles", `${count(spent.tiles_encoded ?? 0)} looked at, ${count(spent.tiles_read ?? 0)} read`],
    ["Tokens", `${count(spent.tokens_llm ?? 0)} of ${count(spent.tokens_total ?? 0)} reached the model`],
    ["Time", spent.seconds?.total === undefined ? null : seconds(spent.seconds.total)],
    ["Memory", spent.peak_rss_mb ? `${count(spent.peak_rss_mb)} MB at most` : null],
    ["Endpoint", endpoint(spent.endpoint)],
    ["Places", places(answer.route)],
    ["Ended", STOPPED[answer.stopped] ?? answer.stopped],
    ["Model", answer.model],
  ];
  return el("dl", { class: "gf-cost" }, rows.filter(([, value]) => value)
    .map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

function endpoint(use) {
  return use?.calls ? plural(use.calls, "call") : null;
}

function places(route) {
  if (!route) return null;
  const name = route.route ?? route.name ?? "";
  return route.reason ? `${name}: ${route.reason}` : name;
}
