// The tiles of a scene for the map: one level of the scene is one zoom of the grid, 1:1.

import ImageTile from "ol/source/ImageTile.js";
import Projection from "ol/proj/Projection.js";
import TileGrid from "ol/tilegrid/TileGrid.js";

/** The pixel space of a scene as the map has it: x right, y up, the top-left corner at (0, 0). */
export function pixelProjection(scene) {
  return new Projection({ code: `scene-${scene.id}`, units: "pixels", extent: extentOf(scene) });
}

export function extentOf(scene) {
  return [0, -scene.height, scene.width, 0];
}

/**
 * @param {Object} transport see transport/
 * @param {Object} scene facts
 * @param {"view"|"model"} kind `model` is what the model is given, lossless
 */
export function tileSource(transport, scene, kind, projection) {
  const { side, levels } = kind === "model" ? scene.model_grid : scene.grid;
  const top = levels - 1;
  const resolutions = Array.from({ length: levels }, (_, zoom) => 2 ** (top - zoom));
  const source = new ImageTile({
    projection,
    wrapX: false,
    transition: 0,
    tileGrid: new TileGrid({ extent: extentOf(scene), origin: [0, 0], resolutions, tileSize: side }),
    loader: async (zoom, col, row, { signal }) => {
      const blob = await transport.tile(scene, kind, top - zoom, row, col, signal);
      return whole(await createImageBitmap(blob), side);
    },
  });
  return source;
}

/** The map stretches a picture over its tile: one that was cut at the edge is filled up. */
function whole(bitmap, side) {
  if (bitmap.width === side && bitmap.height === side) return bitmap;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas;
}
