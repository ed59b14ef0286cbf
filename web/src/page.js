// The whole front end inside one element: maps on one side, the question and its answer beside it.

import { button, el, fill, saveBlob, uniqueId, visible } from "./dom.js";
import { boxText } from "./format.js";
import { meetOnGround, linkedState } from "./map/link.js";
import { MapBar } from "./map_bar.js";
import { HistoryList } from "./panel/history_list.js";
import { QuestionForm } from "./panel/question_form.js";
import { Side, union } from "./side.js";

const UNFINISHED = new Set(["queued", "running"]);

export class Page {
  /**
   * @param {HTMLElement} root
   * @param {Object} transport
   * @param {Object} overview `{model, budget, search_budget, scenes}`
   * @param {{moved, sent, ended, changed, regionSet: Function}} [watchers] for who embeds it
   */
  constructor(root, transport, overview, watchers = {}) {
    Object.assign(this, { root, transport, overview, watchers });
    this.sides = [];
    this.ring = null;
    this.answers = 0;
    this.#build();
    this.#show(0, overview.scenes[0]);
    root.addEventListener("keydown", (event) => this.#onKey(event));
    this.#awaitScenes();
  }

  /** Says of scenes whose coarser levels are being built how far that is; their tiles wait. */
  async #awaitScenes() {
    const isOpen = (scene) => scene.ready === false && !scene.error;
    while (this.overview.scenes.some(isOpen) && this.root.isConnected) {
      this.#noteScenes();
      await new Promise((resolve) => { setTimeout(resolve, 700); });
      const { scenes } = await this.transport.overview();
      scenes.forEach(({ ready, share, error }, i) => Object.assign(this.overview.scenes[i], { ready, share, error }));
    }
    this.#noteScenes();
  }

  #noteScenes() {
    for (const { map, scene } of this.sides) {
      const share = Math.round((scene.share ?? 0) * 100);
      map.setNote(scene.error || (scene.ready === false ? `Building the coarser levels… ${share}%` : ""));
    }
  }

  get first() {
    return this.sides[0];
  }

  #build() {
    const { scenes, budget, model } = this.overview;
    this.bar = new MapBar({
      heat: (heat) => this.sides.forEach((side) => side.map.overlay.set({ heat })),
      modelView: (on) => this.sides.forEach((side) => side.map.showAs(on ? "model" : "view")),
    }, { live: this.transport.live });
    this.form = new QuestionForm({
      asked: (question) => this.ask(question), stopped: () => this.stop(),
      placed: (place) => this.#place(place),
    }, { ...budget, searchTiles: this.overview.search_budget?.tiles, choices: this.overview.choices });
    this.status = el("p", { class: "gf-status", role: "status" });
    this.history = new HistoryList({ chosen: (job) => this.#again(job) });
    this.maps = el("div", { class: "gf-maps" });
    this.results = el("div", { class: "gf-results" });
    fill(this.root, this.#head(scenes),
      el("main", { class: "gf-work" },
        el("div", { class: "gf-left" }, this.maps, this.bar.element),
        el("div", { class: "gf-panel", tabindex: -1 },
          this.transport.live ? [this.form.element, this.status] : null,
          this.results, this.history.element,
          this.transport.live ? el("p", { class: "gf-faint gf-small" }, "Each question stands alone: the model does not see earlier ones.") : null)));
    this.model = model;
  }

  #head(scenes) {
    const options = () => scenes.map((scene, i) => el("option", { value: i }, scene.name));
    const first = uniqueId("scene");
    const second = uniqueId("beside");
    this.sceneSelect = el("select", { id: first, on: { change: (event) => this.#show(0, scenes[event.target.value]) } }, options());
    this.besideSelect = el("select", { id: second, on: { change: (event) => this.#show(1, scenes[event.target.value] ?? null) } },
      el("option", { value: "" }, "None"), options());
    this.linkSelect = el("select", { "aria-label": "Move the maps together", hidden: true, on: { change: () => this.#linkFrom(this.first) } },
      el("option", { value: "ground" }, "Linked on the ground"),
      el("option", { value: "picture" }, "Linked by picture"), el("option", { value: "" }, "Not linked"));
    this.swapButton = button("Swap", () => this.#swap(), { "aria-label": "Swap the scenes", hidden: true });
    const several = scenes.length > 1;
    return el("header", { class: "gf-head" }, el("h1", {}, "GeoFovea"),
      several ? [el("label", { for: first }, "Scene"), this.sceneSelect,
        el("label", { for: second }, "Compare with"), this.besideSelect, this.swapButton, this.linkSelect]
        : el("span", { class: "gf-faint" }, scenes[0].name));
  }

  /** Puts a scene on one of the two sides; null takes the second one away. */
  #show(index, scene) {
    const before = this.sides[index];
    [before, before?.asker].forEach((side) => side?.stop().catch(() => {}));
    before?.dispose();
    for (const side of this.sides) side.part();
    if (scene) this.sides[index] = this.#side(scene);
    else this.sides.splice(index, 1);
    this.#arrange();
    this.sides.forEach((side) => side.map.whole(0));
    this.#offerLinks();
    this.#noteScenes();
    this.#place("scene");
    this.#refresh();
  }

  #arrange() {
    fill(this.maps, this.sides.map((side) => side.map.element));
    fill(this.results, this.sides.map((side) => side.element));
    this.root.classList.toggle("gf-two", this.sides.length > 1);
    this.sides.forEach((side) => side.map.map.updateSize());
  }

  /** Lets the two scenes change places, for the left one is the earlier. A comparison ends: it had the other order. */
  #swap() {
    this.sides.forEach((side) => side.asker?.stop().catch(() => {}));
    this.sides.forEach((side) => side.part());
    this.sides.reverse();
    this.#arrange();
    [this.sceneSelect.value, this.besideSelect.value] = this.sides.map(({ scene }) => String(this.overview.scenes.indexOf(scene)));
    this.#offerLinks();
    this.watchers.moved?.(this.first);
    this.#refresh();
  }

  #side(scene) {
    const { live } = this.transport;
    return new Side(this.transport, scene, {
      moved: (side) => this.#moved(side),
      pointed: (side, point) => this.bar.point(side.map, point),
      changed: () => this.#refresh(),
      sent: (job) => this.watchers.sent?.(job),
      following: () => this.bar.follows && (this.sides.length < 2 || !this.linkSelect.value),
      exported: live && this.transport.exported ? (side, file, name) => this.#save(side, file, name) : null,
      again: live ? (side, ring) => this.#setRing(side, ring, "box") : null,
    }, this.overview.model);
  }

  #offerLinks() {
    const [a, b] = this.sides;
    this.linkSelect.hidden = !b;
    this.swapButton.hidden = !b || a.scene === b.scene;
    const ground = meetOnGround(a?.map, b?.map);
    this.linkSelect.options[0].disabled = !ground;
    this.form.offerChanges(ground && a.scene !== b.scene ? [a.scene.name, b.scene.name] : null);
    if (b) this.linkSelect.value = ground ? "ground" : "picture";
    if (b) this.#linkFrom(a);
  }

  #moved(side) {
    if (!this.linking) this.#linkFrom(side);
    this.watchers.moved?.(this.first);
  }

  #linkFrom(side) {
    const other = this.sides.find((each) => each !== side);
    const way = this.linkSelect.value;
    if (!other || !way || !this.sides.includes(side)) return;
    const state = linkedState(side.map, other.map, way);
    if (!state) return;
    this.linking = true;
    other.map.setState(state);
    this.linking = false;
  }

  /** Asks every scene that is shown, or what changed from the first to the second. */
  async ask({ question, ...how }) {
    if (how.task === "changes") {
      const [earlier, later] = this.sides;
      await later.ask({ question, region: this.#ringFor(later), ...how }, earlier);
    } else await this.#askEach(question, how);
    await this.loadHistory();
  }

  async #askEach(question, how) {
    await Promise.all(this.sides.map((side) => {
      const region = this.#ringFor(side);
      return side.ask({ question, region, ...how });
    }));
  }

  async stop() {
    await Promise.all(this.sides.map((side) => side.stop()));
  }

  #ringFor(side) {
    if (this.form.place === "scene") return null;
    if (this.form.place === "view") return side.map.viewRing();
    if (!this.ring || side === this.ring.side) return this.ring?.points ?? null;
    return this.#carried(side);
  }

  /** A drawing on one scene as it lies on the other, by the way in which the maps are linked. */
  #carried(side) {
    const { side: from, points } = this.ring;
    if (this.linkSelect.value === "ground") {
      const carried = points.map(([x, y]) => side.map.ground.pixel(...from.map.ground.lonLat(x, y)));
      return carried.every(Boolean) ? carried.map((point) => point.map(Math.round)) : null;
    }
    const [wide, tall] = [side.scene.width / from.scene.width, side.scene.height / from.scene.height];
    return points.map(([x, y]) => [Math.round(x * wide), Math.round(y * tall)]);
  }

  async #place(place) {
    this.sides.forEach((side) => side.map.pen.cancel());
    if (place === "scene" || place === "view") {
      this.ring = null;
      this.sides.forEach((side) => side.map.overlay.set({ region: null }));
      this.form.setPlace(place);
      return;
    }
    const how = place === "box" ? "Drag a box on the map." : "Click the corners on the map; double-click ends.";
    this.form.setPlace(place, `${how} Escape gives up.`);
    const drawings = this.sides.map(async (side) => [side, await side.map.pen.draw(place)]);
    const [side, points] = await Promise.race(drawings);
    if (!points) {
      if (this.form.place === place && !this.ring) this.form.setPlace("scene");
      return;
    }
    this.#setRing(side, points, place);
    this.sides.forEach((each) => each.map.pen.cancel());
    this.watchers.regionSet?.(points);
  }

  /** Sets the region from outside: a ring of scene pixels, or null for the whole scene. */
  setRegion(ring) {
    if (!ring) this.#place("scene");
    else this.#setRing(this.first, ring, "polygon");
  }

  #setRing(side, points, place) {
    this.ring = { side, points };
    this.sides.forEach((each) => each.map.overlay.set({ region: [this.#ringFor(each) ?? points] }));
    const box = boxText(union(points.map(([x, y]) => [x, y, x, y])));
    this.form.setPlace(place, `${place === "box" ? "Box" : "Polygon"}: ${box} px.`, true);
    this.sides.forEach((each) => {
      const ring = each === side ? points : this.#ringFor(each);
      each.map.overlay.set({ region: ring && [ring] });
    });
  }

  async loadHistory() {
    if (!this.transport.history) return [];
    const jobs = await this.transport.history();
    const names = new Map(this.overview.scenes.map((scene) => [scene.id, scene.name]));
    this.history.show(jobs, (id) => names.get(id) ?? id);
    return jobs;
  }

  /** Comes back to the view of an address. */
  restore({ scene, ...state }) {
    const index = this.overview.scenes.findIndex((each) => each.id === scene);
    if (index < 0) return;
    if (this.first.scene.id !== scene) {
      this.sceneSelect.value = String(index);
      this.#show(0, this.overview.scenes[index]);
    }
    this.first.map.setState(state);
  }

  /**
   * Goes on with what this window asked before it was loaded again, if it is not answered yet.
   * @param {string[]} asked jobs of this window: others may ask the same server
   */
  async resume(asked) {
    const jobs = await this.loadHistory();
    const running = jobs.find((job) => UNFINISHED.has(job.state) && asked.includes(job.job));
    if (running) await this.#again(running);
  }

  /** Shows a job that a program asked. */
  async follow(job) {
    await this.#again(job);
  }

  dispose() {
    this.sides.forEach((side) => side.dispose());
    this.root.remove();
  }

  async #again(job) {
    const side = job.before ? this.#sideOfTwo(job) : this.#sideOf(job);
    if (!side) return;
    this.form.setTask(job.task ?? "ask");
    this.form.text.value = job.question;
    await side.replay(job, job.before ? this.first : null);
    if (UNFINISHED.has(job.state)) await this.loadHistory();
  }

  /** The side of a job's scene; on the first one where no side shows it. */
  #sideOf(job) {
    const index = this.overview.scenes.findIndex((scene) => scene.id === job.scene);
    if (index < 0) return null;
    const side = this.sides.find((each) => each.scene.id === job.scene);
    if (side) return side;
    this.sceneSelect.value = String(index);
    this.#show(0, this.overview.scenes[index]);
    return this.first;
  }

  /** The side of the later scene of two dates, with the earlier one on the first side. */
  #sideOfTwo(job) {
    const indexes = [job.before, job.scene].map((id) => this.overview.scenes.findIndex((scene) => scene.id === id));
    if (indexes.includes(-1)) return null;
    indexes.forEach((index, i) => {
      const scene = this.overview.scenes[index];
      [this.sceneSelect, this.besideSelect][i].value = String(index);
      if (this.sides[i]?.scene.id !== scene.id) this.#show(i, scene);
    });
    return this.sides[1];
  }

  async #save(side, file, name) {
    try {
      saveBlob(await this.transport.exported(side.asking.job, file), name);
    } catch (error) {
      this.status.textContent = visible(error.message);
    }
  }

  #onKey(event) {
    if (event.key !== "Escape") return;
    if (this.sides.some((side) => side.map.pen.isDrawing)) this.sides.forEach((side) => side.map.pen.cancel());
    else this.stop().catch((error) => { this.status.textContent = visible(error.message); });
  }

  #refresh() {
    const running = this.sides.some((side) => side.asking?.isRunning);
    this.form.setRunning(running);
    const named = this.sides.length > 1;
    const texts = this.sides.map((side) => [side.scene.name, side.status()]).filter(([, text]) => text);
    const text = visible(texts.map(([name, line]) => (named ? `${name}: ${line}` : line)).join(" "));
    if (this.status.textContent !== text) {
      this.status.textContent = text;
      this.watchers.changed?.(text);
    }
    this.status.classList.toggle("gf-repeated", this.sides.every((side) => side.asking?.state === "answered"));
    this.#count(running);
  }

  /** Counters that tests and embedding programs wait for. */
  #count(running) {
    this.root.dataset.running = String(running);
    for (const side of this.sides) {
      if (!side.asking || side.asking.isRunning || side.asking.isCounted) continue;
      side.asking.isCounted = true;
      this.answers += 1;
      this.watchers.ended?.(side);
    }
    this.root.dataset.ended = String(this.answers);
  }
}
