// One question to one scene, as its events tell it: what was looked at, level by level, and what
// came out. Holds no element and draws nothing.

export const RUNNING = new Set(["sent", "queued", "preparing", "running"]);

/** The largest of many numbers: there may be more than a call takes arguments. */
export function strongestOf(scores) {
  return scores.reduce((most, value) => Math.max(most, value), 0);
}

/** Scores say nothing where all places score alike: no heat is drawn of them. */
export function isFlat(scores) {
  if (!scores.length) return true;
  const strongest = strongestOf(scores);
  const mean = scores.reduce((sum, value) => sum + value, 0) / scores.length;
  return strongest <= 0 || mean > 0.6 * strongest;
}

export class Asking {
  constructor(scene, question, region = null, task = "ask", before = null) {
    /** The scene in whose pixels `evidence` lies. */
    this.scene = scene;
    /** The earlier scene where two dates are compared. */
    this.earlier = before;
    /** The scene in whose pixels tiles lie, where that is another one. */
    this.grid = null;
    this.question = question;
    /** "ask", "find", "count" or "changes". */
    this.task = task;
    /** Rings of scene pixels, or null for the whole scene. */
    this.region = region;
    this.job = null;
    this.state = "sent";
    this.isUnwanted = false;
    /** Level -> {level, tiles: box by address, boxes, scores, flat, waves} */
    this.levels = new Map();
    this.waiting = [];
    this.tokens = 0;
    this.before = 0;
    this.share = null;
    this.reading = null;
    this.answer = null;
    /** {answers, boxes}: what would have been right; null where nobody knows. */
    this.truth = null;
    this.message = null;
  }

  get isRunning() {
    return RUNNING.has(this.state);
  }

  /** Whether its evidence are the places of what is looked for. */
  get isForPlaces() {
    return this.task !== "ask";
  }

  get tileCount() {
    return [...this.levels.values()].reduce((sum, level) => sum + level.tiles.size, 0);
  }

  /** Levels from coarse to fine. */
  get ladder() {
    return [...this.levels.values()].sort((a, b) => b.level - a.level);
  }

  /** The evidence as the server orders it, finest first; of two dates, in pixels of this scene. */
  get evidence() {
    const rows = this.answer?.evidence ?? [];
    if (!this.earlier) return rows;
    return rows.filter((row) => Object.values(row.box_by_scene).every(Boolean))
      .map((row) => ({ ...row, box_scene: row.box_by_scene[this.scene] }));
  }

  /** Whether tiles and scores lie in pixels of this scene. */
  get isOnGrid() {
    return this.grid === null || this.grid === this.scene;
  }

  /** The same question, as it goes on, in pixels of the other scene of two dates. */
  seenFrom(scene) {
    return Object.create(this, { scene: { value: scene } });
  }

  /** Takes one event of the job. Events of names that are not known are passed over. */
  apply(name, data) {
    const takes = {
      queued: () => this.#queued(data),
      started: () => { this.state = "running"; },
      preparing: () => { this.state = "preparing"; this.share = data.share; },
      aligned: () => { this.grid = data.scene; },
      look: () => this.#look(data),
      seen: () => { this.waiting = []; this.tokens += data.tokens ?? 0; },
      scored: () => this.#scored(data),
      reading: () => { this.waiting = []; this.reading = data; },
      answer: () => this.#answered(data),
      error: () => { this.state = "failed"; this.message = data.message; this.waiting = []; },
      cancelled: () => { this.state = "cancelled"; this.waiting = []; },
    };
    takes[name]?.();
  }

  #queued(data) {
    this.state = "queued";
    this.job = data.job ?? this.job;
    this.question = data.question ?? this.question;
    this.task = data.task ?? this.task;
    this.before = data.before ?? 0;
  }

  #level(number) {
    if (!this.levels.has(number)) {
      const empty = { level: number, tiles: new Map(), boxes: [], scores: [], flat: true };
      this.levels.set(number, empty);
    }
    return this.levels.get(number);
  }

  #look({ tiles }) {
    this.state = "running";
    this.waiting = tiles.map(([level, , , ...box]) => ({ level, box }));
    this.#addTiles(tiles);
  }

  #scored({ level, boxes, scores }) {
    const entry = this.#level(level);
    entry.boxes = entry.boxes.concat(boxes);
    entry.scores = entry.scores.concat(scores);
    entry.flat = isFlat(entry.scores);
  }

  /** The answer's own looks replace those of the way: their scores are chained over the levels. */
  #answered({ answer, looks, truth = null }) {
    this.state = "answered";
    this.truth = truth;
    this.waiting = [];
    this.answer = answer;
    if (!looks?.length) return;
    this.levels = new Map();
    for (const { level, tiles, boxes, scores } of looks) {
      this.#addTiles(tiles);
      Object.assign(this.#level(level), { boxes, scores, flat: isFlat(scores) });
    }
  }

  #addTiles(tiles) {
    // by its box: the tiles of a shifted grid have addresses of their own
    for (const [level, , , ...box] of tiles) this.#level(level).tiles.set(box.join("/"), box);
  }
}

/** What a screen reader says and the status line shows. */
export function statusText(asking, scale) {
  if (asking.state === "sent") return "Sending the question…";
  if (asking.state === "queued") {
    return asking.before ? `Waiting: ${asking.before} before this one.` : "Waiting for the model…";
  }
  if (asking.state === "preparing") {
    const share = asking.share === null ? "" : ` ${Math.round(asking.share * 100)}%`;
    return `Building the coarser levels of the scene…${share}`;
  }
  if (asking.state === "cancelled") return "Stopped.";
  if (asking.state === "failed") return asking.message || "The question failed.";
  if (asking.state === "answered") return "";
  if (asking.isForPlaces && asking.tileCount) return `Looking tile by tile, ${asking.tileCount} tiles so far…`;
  if (asking.reading) return `Answering from ${asking.reading.tokens} tokens of ${asking.reading.tiles} tiles…`;
  if (asking.waiting.length) {
    const finest = Math.min(...asking.waiting.map((tile) => tile.level));
    return `Looking at level ${finest} (${scale(finest)}), ${asking.tileCount} tiles so far…`;
  }
  return asking.tileCount ? "Choosing where to look closer…" : "Starting…";
}
