// The question, or what is to be found, counted or compared, and where: in the whole scene, in what the
// window shows, in a drawing.

import { button, el, uniqueId, visible } from "../dom.js";

const PLACES = [
  ["scene", "Whole scene"], ["view", "This view"], ["box", "Box"], ["polygon", "Polygon"],
];

/** Each task of a job, with its words on the page. */
const TASKS = {
  ask: { label: "Ask", title: "Question", example: "What is the color of the plane at the airport?" },
  find: { label: "Find", title: "What to find", example: "red truck" },
  count: { label: "Count", title: "What to count", example: "truck" },
  changes: { label: "What changed", title: "What came or went", example: "truck, or nothing for every change", send: "List changes" },
};

export class QuestionForm {
  /**
   * @param {{asked: Function, stopped: Function, placed: Function}} listeners `placed(place)` when
   *   another place is chosen
   * @param {Object} limits `{tiles, tokens}` that the server allows a question at most, `searchTiles` for
   *   finding and counting, and whether `choices` can be given
   */
  constructor(listeners, limits) {
    this.listeners = listeners;
    this.limits = limits;
    const id = uniqueId("question");
    this.text = el("textarea", {
      id, rows: 2, maxlength: 2000, placeholder: TASKS.ask.example,
      on: { keydown: (event) => this.#onKey(event) },
    });
    this.title = el("label", { for: id, class: "gf-title" }, TASKS.ask.title);
    this.ask = el("button", { type: "submit", class: "gf-primary" }, TASKS.ask.label);
    this.stop = button("Stop", () => listeners.stopped(), { hidden: true });
    this.note = el("p", { class: "gf-note", hidden: true });
    this.choices = el("textarea", { id: uniqueId("choices"), rows: 3, placeholder: "One answer a line" });
    this.tiles = this.#limit("tiles", limits.tiles);
    this.tokens = this.#limit("tokens", limits.tokens);
    this.dates = el("p", { id: uniqueId("dates"), class: "gf-note", hidden: true });
    this.text.setAttribute("aria-describedby", this.dates.id);
    this.names = null;
    this.sweep = el("input", { type: "checkbox" });
    this.sweepRow = el("label", { class: "gf-inline", hidden: true }, this.sweep, "Look at every tile");
    this.element = el("form", { class: "gf-form", on: { submit: (event) => this.#onSubmit(event) } },
      this.#tasks(), this.title,
      this.text, this.dates, this.#places(), this.sweepRow, this.note, this.#options(),
      el("div", { class: "gf-row" }, this.ask, this.stop));
  }

  #tasks() {
    const name = uniqueId("task");
    this.tasks = Object.keys(TASKS).map((value) => el("input", {
      type: "radio", name, value, id: uniqueId("task"), checked: value === "ask",
      on: { change: () => this.#showTask() },
    }));
    const labels = this.tasks.map((radio) => el("label", { for: radio.id }, TASKS[radio.value].label));
    this.changes = [this.tasks.at(-1), labels.at(-1)];
    this.changes.forEach((element) => { element.hidden = true; });
    return el("div", { class: "gf-segments", role: "radiogroup", "aria-label": "What to do" },
      this.tasks.map((radio, i) => [radio, labels[i]]));
  }

  /** @param {string[]|null} names of the earlier and the later scene; null where nothing can be compared */
  offerChanges(names) {
    this.names = names;
    this.changes.forEach((element) => { element.hidden = !names; });
    if (!names && this.task === "changes") this.setTask("ask");
    else this.#showTask();
  }

  /** What a question alone has, such as choices, is hidden while places are looked for. */
  #showTask() {
    const { title, label, example, send = label } = TASKS[this.task];
    this.title.textContent = title;
    this.ask.textContent = send;
    const [earlier, later] = this.task === "changes" ? this.names : [];
    this.dates.hidden = !earlier;
    this.dates.textContent = earlier ? visible(`From ${earlier} (left) to ${later} (right).`) : "";
    this.text.placeholder = example;
    this.sweepRow.hidden = this.task !== "find";
    this.ofQuestions.forEach((element) => { element.hidden = this.task !== "ask"; });
    const most = this.task === "ask" ? this.limits.tiles : this.limits.searchTiles;
    Object.assign(this.tiles, { max: most ?? "", placeholder: most ?? "" });
  }

  get task() {
    return this.tasks.find((radio) => radio.checked).value;
  }

  /** Chooses what is done with what is typed. */
  setTask(task) {
    this.tasks.find((radio) => radio.value === task).checked = true;
    this.#showTask();
  }

  #places() {
    const name = uniqueId("place");
    this.radios = PLACES.map(([value]) => el("input", {
      type: "radio", name, value, id: uniqueId("place"), checked: value === "scene",
      on: { change: () => this.listeners.placed(value), click: () => this.#again(value) },
    }));
    const labels = PLACES.map(([, label], i) => [this.radios[i], el("label", { for: this.radios[i].id }, label)]);
    return el("div", { class: "gf-places", role: "radiogroup", "aria-label": "Look in" },
      el("span", { class: "gf-faint", "aria-hidden": "true" }, "Look in"),
      el("div", { class: "gf-segments" }, labels));
  }

  /** A second click on the same shape draws it anew. */
  #again(value) {
    if (this.place === value && this.drawn && ["box", "polygon"].includes(value)) {
      this.listeners.placed(value);
    }
  }

  #options() {
    const choices = [el("label", { for: this.choices.id }, "Choose among"), this.choices];
    const tokens = [el("label", { for: this.tokens.id }, "Tokens at most"), this.tokens];
    const offered = this.limits.choices === false ? [] : choices;
    this.ofQuestions = [...offered, ...tokens];
    return el("details", { class: "gf-options" }, el("summary", {}, "Options"), offered,
      el("div", { class: "gf-row" }, el("label", { for: this.tiles.id }, "Tiles at most"), this.tiles, tokens));
  }

  #limit(noun, most) {
    return el("input", {
      type: "number", id: uniqueId(noun), min: 1, max: most ?? null, step: 1, placeholder: most ?? "",
    });
  }

  #onKey(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      this.element.requestSubmit();
    }
  }

  #onSubmit(event) {
    event.preventDefault();
    const question = this.text.value.trim();
    if ((!question && this.task !== "changes") || this.ask.disabled) {
      this.text.focus();
      return;
    }
    this.text.select();
    const { task } = this;
    this.listeners.asked({
      question, task, sweep: task === "find" && this.sweep.checked,
      choices: task === "ask" ? this.#lines() : [], budget: this.#budget(),
    });
  }

  #lines() {
    return this.choices.value.split("\n").map((line) => line.trim()).filter(Boolean);
  }

  #budget() {
    const limits = { tiles: this.tiles.valueAsNumber };
    if (this.task === "ask") limits.tokens = this.tokens.valueAsNumber;
    const entries = Object.entries(limits).filter(([, value]) => value > 0);
    return entries.length ? Object.fromEntries(entries) : null;
  }

  get place() {
    return this.radios.find((radio) => radio.checked).value;
  }

  /** Chooses a place; `drawn` says that there is a drawing already. */
  setPlace(place, note = null, drawn = false) {
    this.radios.find((radio) => radio.value === place).checked = true;
    this.drawn = drawn;
    this.note.hidden = note === null;
    this.note.textContent = note ?? "";
  }

  /** While a question runs another one would only wait behind it. */
  setRunning(running) {
    this.ask.disabled = running;
    this.stop.hidden = !running;
  }
}
