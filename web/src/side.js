// One scene with its map and what was last asked of it. Two of them may stand beside each other.

import { el } from "./dom.js";
import { levelScale } from "./format.js";
import { Asking, statusText } from "./asking.js";
import { SceneMap } from "./map/scene_map.js";
import { AnswerCard } from "./panel/answer_card.js";
import { EvidenceTable } from "./panel/evidence_table.js";
import { LevelLadder } from "./panel/level_ladder.js";
import { sceneFacts } from "./panel/scene_facts.js";

export class Side {
  /**
   * @param {Object} transport
   * @param {Object} scene facts
   * @param {Object} listeners `moved`, `pointed` of the map; `sent(job)`; `changed(side)` when a question moved
   *   on; `exported(side, file, name)` or null; `again(side, ring)` or null
   */
  constructor(transport, scene, listeners, model) {
    Object.assign(this, { transport, scene, listeners, model });
    this.asking = null;
    this.stopper = null;
    this.follows = true;
    /** Of two dates: the side that shows the same places, and the side that asked. */
    this.twin = null;
    this.asker = null;
    this.map = new SceneMap(transport, scene, {
      moved: () => listeners.moved(this),
      pointed: (_, point) => listeners.pointed(this, point),
      picked: (_, point) => this.#pickAt(point),
    });
    this.#holdOnTouch();
    this.answer = new AnswerCard({
      exported: listeners.exported && ((file, name) => listeners.exported(this, file, name)),
    });
    this.ladder = new LevelLadder({
      zoomed: (level) => this.#zoomTo(level),
      toggled: (hidden) => this.map.overlay.set({ hidden: new Set(hidden) }),
    });
    this.evidence = new EvidenceTable({
      picked: (index) => this.pick(index),
      again: listeners.again && (() => listeners.again(this, this.#bestRing())),
    });
    this.title = el("h2", { class: "gf-scene-name" }, scene.name);
    this.element = el("section", { class: "gf-side", "aria-label": scene.name },
      this.title, this.answer.element, this.ladder.element, this.evidence.element,
      sceneFacts(scene, model));
  }

  get top() {
    return this.map.overlay.model.top;
  }

  status() {
    if (!this.asking) return "";
    const scale = (level) => levelScale(level, this.scene.gsd_m);
    return statusText(this.asking, scale) || this.#outcome();
  }

  #outcome() {
    const { answer } = this.asking;
    const known = answer.confidence !== null && answer.confidence_known !== false;
    const sure = known ? `, ${Math.round(answer.confidence * 100)}% sure` : "";
    return `Answer: ${answer.answer}${sure}.`;
  }

  /** Sends a question and follows its events to the end. */
  async ask({ question, region, choices, budget, task = "ask", sweep = false }, twin = null) {
    const before = twin?.scene.id ?? null;
    const asking = new Asking(this.scene.id, question, region && [region], task, before);
    this.#begin(asking, twin);
    const body = { scene: this.scene.id, question };
    if (region) body.region = { polygon: region };
    if (choices?.length) body.choices = choices;
    if (budget) body.budget = budget;
    if (task !== "ask") Object.assign(body, { task, sweep });
    if (before) body.before = before;
    await this.#run(asking, async () => {
      const { job } = await this.transport.ask(body);
      asking.job = job;
      this.listeners.sent(job);
      if (asking.isUnwanted) await this.transport.cancel(job);
    });
  }

  /** Shows a job of before, or goes on with one that runs. */
  async replay(job, twin = null) {
    const asking = new Asking(this.scene.id, job.question, job.region, job.task, job.before);
    asking.job = job.job;
    this.#begin(asking, twin);
    await this.#run(asking, async () => {});
  }

  #begin(asking, twin) {
    this.stopper?.abort();
    this.stopper = new AbortController();
    this.asking = asking;
    this.twin = twin;
    this.asker = null;
    twin?.mirror(this);
    this.follows = true;
    this.map.overlay.set({ asking, marked: null, region: asking.region });
    this.refresh();
  }

  /** Shows on this map the places of two dates that another side asks for. */
  mirror(asker) {
    this.stopper?.abort();
    Object.assign(this, { asker, twin: null, asking: null });
    this.map.overlay.set({ marked: null });
    this.refresh();
  }

  /** What the map shows: the question of this side, or that of the side that asked about both. */
  get #drawn() {
    return this.asker?.asking?.seenFrom(this.scene.id) ?? this.asking;
  }

  async #run(asking, send) {
    const { signal } = this.stopper;
    try {
      await send();
      if (signal.aborted) return;
      await this.transport.events(asking.job, (name, data) => {
        if (signal.aborted) return;
        asking.apply(name, data);
        this.#onEvent(name);
      }, signal);
    } catch (error) {
      if (signal.aborted) return;
      asking.apply("error", { message: error.message });
    }
    if (this.asking === asking) this.refresh();
  }

  #onEvent(name) {
    if (this.follows && this.listeners.following()) {
      // looks at all tiles one after the other would shake the map
      if (name === "look" && !this.asking.isForPlaces) this.#followLook();
      if (name === "answer") this.#followAnswer();
    }
    if (name === "answer") this.showsAnswer = true;
    this.refresh();
  }

  #followLook() {
    const boxes = this.asking.waiting.map((tile) => tile.box);
    if (boxes.length) this.map.fit(union(boxes), { margin: 0.15 });
  }

  #followAnswer() {
    const rows = this.asking.evidence;
    const finest = Math.min(...rows.map((row) => row.level));
    const boxes = rows.filter((row) => row.level === finest).map((row) => row.box_scene);
    if (boxes.length) this.map.fit(union(boxes), { margin: 0.15 });
  }

  async stop() {
    if (!this.asking?.isRunning) return;
    // the server may not have named the job yet
    this.asking.isUnwanted = true;
    if (this.asking.job) await this.transport.cancel(this.asking.job);
  }

  /** Shows the state of the question everywhere; once a frame, however many events came. */
  refresh() {
    this.twin?.refresh();
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.map.overlay.set({ asking: this.#drawn });
      this.answer.show(this.asking);
      this.ladder.show(this.asking?.isOnGrid ? this.asking : null, this.top, this.scene.gsd_m);
      this.evidence.show(this.asking, this.scene.gsd_m, this.map.overlay.model.marked);
      this.listeners.changed(this);
      if (this.showsAnswer) this.answer.element.scrollIntoView({ block: "nearest" });
      this.showsAnswer = false;
    });
  }

  /** Marks one region of the evidence, on the map and in the table. */
  pick(index) {
    this.follows = false;
    this.#mark(index);
    this.map.fit(this.asking.evidence[index].box_scene, { margin: 0.8 });
  }

  #mark(index) {
    for (const side of [this, this.twin]) side?.map.overlay.set({ marked: index });
    this.evidence.mark(index);
  }

  #pickAt([x, y]) {
    const rows = this.#drawn?.evidence ?? [];
    const index = rows.findIndex(({ box_scene: [x0, y0, x1, y1] }) => x >= x0 && x < x1 && y >= y0 && y < y1);
    if (index >= 0) (this.asker ?? this).#mark(index);
  }

  #zoomTo(level) {
    this.follows = false;
    const boxes = [...this.asking.levels.get(level).tiles.values()];
    if (boxes.length) this.map.fit(union(boxes), { margin: 0.1 });
  }

  #bestRing() {
    return ringOf(this.asking.evidence[this.map.overlay.model.marked ?? 0].box_scene.map(Math.round));
  }

  /** Whoever moves the map by hand wants to see what is there, and is not carried off. */
  #holdOnTouch() {
    const hold = () => { this.follows = false; };
    for (const event of ["pointerdown", "wheel", "keydown"]) {
      this.map.target.addEventListener(event, hold, { passive: true });
    }
  }

  /** Forgets a comparison: one of its scenes is not shown any more. */
  part() {
    if (!this.twin && !this.asker) return;
    this.stopper?.abort();
    Object.assign(this, { twin: null, asker: null, asking: null });
    this.refresh();
  }

  dispose() {
    this.stopper?.abort();
    this.map.dispose();
    this.element.remove();
  }
}

function ringOf([x0, y0, x1, y1]) {
  return [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
}

/** The smallest box around all of them. */
export function union(boxes) {
  return [0, 1, 2, 3].map((i) => {
    const values = boxes.map((box) => box[i]);
    return i < 2 ? Math.min(...values) : Math.max(...values);
  });
}
