// Questions of before, newest first. Showing one again costs nothing: the server kept its events.

import { button, el, fill, uniqueId } from "../dom.js";

export class HistoryList {
  /** @param {{chosen: Function}} listeners `chosen(job)` with the row of the server */
  constructor(listeners) {
    this.listeners = listeners;
    const title = uniqueId("history");
    this.list = el("ul", { class: "gf-history", "aria-labelledby": title });
    this.element = el("section", { hidden: true }, el("h2", { id: title }, "Asked before"), this.list);
  }

  /** @param {Object[]} jobs `{job, scene, question, state, answer, region}` */
  show(jobs, nameOf) {
    this.element.hidden = !jobs.length;
    fill(this.list, jobs.map((job) => el("li", {},
      button(job.question || "Every change", () => this.listeners.chosen(job), { class: "gf-link" }),
      el("span", { class: "gf-faint" }, this.#line(job, nameOf)))));
  }

  #line(job, nameOf) {
    const outcome = job.answer ?? { cancelled: "stopped", error: "failed", failed: "failed" }[job.state] ?? job.state;
    const task = { find: "find", count: "count", changes: "what changed" }[job.task];
    const scenes = [job.before, job.scene].filter(Boolean).map(nameOf).join(" to ");
    return [task, outcome, scenes, job.region ? "in a part" : null].filter(Boolean).join(" · ");
  }
}
