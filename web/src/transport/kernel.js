// A kernel of a notebook: everything goes as messages of the widget, so that no port must be
// reachable. Page -> kernel, each with an `id` of ours:
//
//   {kind: "tile", scene, tiles: "view"|"model", level, row, col}   answered by "tile" with bytes
//   {kind: "drop"}                    the tile of this id is not wanted any more; no answer
//   {kind: "ask", question: {...}}    the body of a POST; answered by "reply" {job}
//   {kind: "events", job}             answered by many "event", the last one ends the job
//   {kind: "cancel", job}             answered by "reply"
//   {kind: "history"}                 answered by "reply" with the list of jobs
//   {kind: "export", job, file}       answered by "file" with bytes
//   {kind: "base64"}                  from now on bytes are wanted as text; no answer
//
// A question that a program asked comes as {kind: "follow", id, job: {...}} with its events behind.
// Kernel -> page, with the id that it answers: {kind: "tile"|"file", media_type, base64?} and one
// buffer; {kind: "reply", data}; {kind: "event", event, data}; {kind: "error", message}.

import { sceneOf } from "../scene.js";

const ENDS = new Set(["answer", "error", "cancelled"]);

export class KernelTransport {
  /** @param {Object} model of anywidget: traits and messages */
  constructor(model) {
    this.model = model;
    this.live = true;
    this.last = 0;
    /** By id: takes `(message, buffers)` and says whether more may follow. */
    this.waiting = new Map();
    /** By job that a program asked: its events, which come without being asked for. */
    this.followed = new Map();
    this.listener = (message, buffers) => this.#take(message, buffers);
    model.on("msg:custom", this.listener);
  }

  close() {
    this.model.off("msg:custom", this.listener);
  }

  async overview() {
    return {
      model: this.model.get("host"),
      budget: this.model.get("budget") ?? {},
      search_budget: this.model.get("search_budget") ?? {},
      scenes: this.model.get("scenes").map(sceneOf),
    };
  }

  async tile(scene, kind, level, row, col, signal) {
    const wanted = { kind: "tile", scene: scene.id, tiles: kind, level, row, col };
    const { message, buffers } = await this.#request(wanted, signal);
    if (message.base64 || buffers?.length) return blobOf(message, buffers);
    // the front end passed the message on without its bytes
    this.model.send({ kind: "base64" });
    const again = await this.#request(wanted, signal);
    return blobOf(again.message, again.buffers);
  }

  async ask(question) {
    return (await this.#request({ kind: "ask", question })).message.data;
  }

  /** Keeps the events of a job that a program asked until the page takes them. */
  follow(id, job) {
    const early = [];
    this.followed.set(job, { id, early });
    this.waiting.set(id, (answer) => early.push(answer) > 0);
  }

  events(job, handle, signal) {
    return new Promise((resolve, reject) => {
      const take = ({ message }) => {
        if (message.kind === "error") {
          reject(new Error(message.message));
          return false;
        }
        handle(message.event, message.data);
        if (!ENDS.has(message.event)) return true;
        resolve();
        return false;
      };
      const id = this.#subscribe(job, take);
      signal?.addEventListener("abort", () => {
        this.waiting.delete(id);
        resolve();
      }, { once: true });
    });
  }

  #subscribe(job, take) {
    const known = this.followed.get(job);
    this.followed.delete(job);
    if (!known) return this.#send({ kind: "events", job }, take);
    this.waiting.set(known.id, take);
    // the last of them may have ended it
    if (known.early.map((answer) => take(answer)).includes(false)) this.waiting.delete(known.id);
    return known.id;
  }

  async cancel(job) {
    await this.#request({ kind: "cancel", job });
  }

  async history() {
    return (await this.#request({ kind: "history" })).message.data;
  }

  async exported(job, file) {
    const { message, buffers } = await this.#request({ kind: "export", job, file });
    return blobOf(message, buffers);
  }

  #request(content, signal) {
    return new Promise((resolve, reject) => {
      const id = this.#send(content, (answer) => {
        if (answer.message.kind === "error") reject(new Error(answer.message.message));
        else resolve(answer);
        return false;
      });
      signal?.addEventListener("abort", () => {
        if (!this.waiting.delete(id)) return;
        this.model.send({ kind: "drop", id });
        reject(signal.reason);
      }, { once: true });
    });
  }

  #send(content, take) {
    this.last += 1;
    this.waiting.set(this.last, take);
    this.model.send({ id: this.last, ...content });
    return this.last;
  }

  #take(message, buffers) {
    const take = this.waiting.get(message.id);
    if (take && !take({ message, buffers })) this.waiting.delete(message.id);
  }
}

function blobOf({ base64, media_type: type }, buffers) {
  const bytes = base64 ? bytesOf(base64) : buffers[0];
  return new Blob([bytes], { type });
}

/** The bytes behind a base64 text; no request is made, as a data: address would be one. */
export function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}
