// One scale of colors over the levels of a scene, from coarse to native: the finer, the brighter.
// A number stands beside every color, for eight levels are more than hues that all can tell apart.

const STOPS = [[186, 166, 255], [108, 172, 255], [64, 208, 208], [150, 226, 96], [255, 216, 77]];

/**
 * @param {number} level 0 is native
 * @param {number} top the coarsest level of the scene
 * @returns {string} a CSS color
 */
export function levelColor(level, top) {
  const place = top > 0 ? (1 - level / top) * (STOPS.length - 1) : STOPS.length - 1;
  const index = Math.min(Math.floor(place), STOPS.length - 2);
  const part = place - index;
  const mixed = STOPS[index].map((low, i) => Math.round(low + part * (STOPS[index + 1][i] - low)));
  return `rgb(${mixed.join(" ")})`;
}
