// The question and where it is asked: in the whole scene, in what the window shows, in a drawing.

import { button, el, uniqueId } from "../dom.js";

const PLACES = [
  ["scene", "Whole scene"], ["view", "This view"], ["box", "Box"], ["polygon", "Polygon"],
];

export class QuestionForm {
  /**
   * @param {{asked: Function, stopped: Function, placed: Function}} listeners `placed(place)` when
   *   another place is chosen
   * @param {Object} limits `{tiles, tokens}` that the server allows at most, and whether `choices` can be given
   */
  constructor(listeners, limits) {
    this.listeners = listeners;
    const id = uniqueId("question");
    this.text = el("textarea", {
      id, rows: 2, maxlength: 2000, placeholder: "What is the color of the plane at the airport?",
      on: { keydown: (event) => this.#onKey(event) },
    });
    this.ask = el("button", { type: "submit", class: "gf-primary" }, "Ask");
    this.stop = button("Stop", () => listeners.stopped(), { hidden: true });
    this.note = el("p", { class: "gf-note", hidden: true });
    this.choices = el("textarea", { id: uniqueId("choices"), rows: 3, placeholder: "One answer a line" });
    this.tiles = this.#limit("tiles", limits.tiles);
    this.tokens = this.#limit("tokens", limits.tokens);
    this.element = el("form", { class: "gf-form", on: { submit: (event) => this.#onSubmit(event) } },
      el("label", { for: id, class: "gf-title" }, "Question"),
      this.text, this.#places(), this.note, this.#options(limits),
      el("div", { class: "gf-row" }, this.ask, this.stop));
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

  #options(limits) {
    return el("details", { class: "gf-options" }, el("summary", {}, "Options"),
      limits.choices === false ? null : [el("label", { for: this.choices.id }, "Choose among"), this.choices],
      el("div", { class: "gf-row" },
        el("label", { for: this.tiles.id }, "Tiles at most"), this.tiles,
        el("label", { for: this.tokens.id }, "Tokens at most"), this.tokens));
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
    if (!question || this.ask.disabled) {
      this.text.focus();
      return;
    }
    this.text.select();
    this.listeners.asked({ question, choices: this.#lines(), budget: this.#budget() });
  }

  #lines() {
    return this.choices.value.split("\n").map((line) => line.trim()).filter(Boolean);
  }

  #budget() {
    const limits = { tiles: this.tiles.valueAsNumber, tokens: this.tokens.valueAsNumber };
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
