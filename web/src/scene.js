// A scene as the front end has it, out of the facts that a server or a kernel sends.

/**
 * @param {Object} facts see `scene_facts` of the package
 * @returns {Object} with `model_grid`, and `ground` as columns and rows of nodes or null
 */
export function sceneOf(facts) {
  return { ...facts, model_grid: facts.model, ground: groundOf(facts) };
}

function groundOf({ lonlat, width, height }) {
  if (!lonlat) return null;
  const nodes = (length) => Array.from({ length: lonlat.n }, (_, i) => (i * length) / (lonlat.n - 1));
  const numbers = (table) => table.map((row) => row.map((value) => value ?? NaN));
  return { columns: nodes(width), rows: nodes(height), lon: numbers(lonlat.lon), lat: numbers(lonlat.lat) };
}
