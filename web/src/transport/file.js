// An answer in a file: the scene's facts, the answer and the tiles it was read from stand in one
// element of the document. Nothing is asked and nothing is loaded.
//
//   {overview: {model, scenes: [facts]}, answer: {answer, looks}, region: [ring, ...] | null,
//    tiles: {"level/row/col": "base64 of a WebP"}, media_type: "image/webp"}

import { sceneOf } from "../scene.js";
import { bytesOf } from "./kernel.js";

export class FileTransport {
  constructor(content) {
    this.content = content;
    this.live = false;
  }

  async overview() {
    const { overview } = this.content;
    return { ...overview, scenes: overview.scenes.map(sceneOf) };
  }

  /** A tile that is not in the file fails: the map shows the coarser one that is. */
  async tile(scene, kind, level, row, col) {
    const base64 = this.content.tiles[`${level}/${row}/${col}`];
    if (!base64) throw new Error("this tile is not in the file");
    return new Blob([bytesOf(base64)], { type: this.content.media_type });
  }

  async events(job, handle) {
    handle("answer", this.content.answer);
  }

  async history() {
    return [];
  }
}
