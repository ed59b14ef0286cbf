// What outlives a reload. The view stands in the address, for bookmarks: #x,y,resolution,scene.
// The questions of this window stand in its session.

const JOBS = "geofovea-jobs";
const MOST_JOBS = 20;

/** Remembers a question of this window. */
export function keepJob(job) {
  sessionStorage.setItem(JOBS, [job, ...keptJobs()].slice(0, MOST_JOBS).join(" "));
}

/** @returns {string[]} questions of this window, newest first */
export function keptJobs() {
  return (sessionStorage.getItem(JOBS) ?? "").split(" ").filter(Boolean);
}

/** What a part of an address spells; others may have made it, with a % that stands for nothing. */
export function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

let timer = null;

/** Writes the view once it rests. */
export function keepView(side) {
  clearTimeout(timer);
  timer = setTimeout(() => {
    const { x, y, resolution } = side.map.state();
    const parts = [x.toFixed(1), y.toFixed(1), Number(resolution.toPrecision(6)), encodeURIComponent(side.scene.id)];
    history.replaceState(null, "", `#${parts.join(",")}`);
  }, 300);
}

/**
 * What an address says, if it says something possible.
 * @param {string} address
 * @returns {{x, y, resolution, scene}|null}
 */
export function viewOfAddress(address) {
  clearTimeout(timer);
  const [x, y, resolution, scene] = new URL(address).hash.slice(1).split(",");
  const numbers = [x, y, resolution].map(Number);
  if (!scene || !numbers.every(Number.isFinite) || numbers[2] <= 0) return null;
  return { x: numbers[0], y: numbers[1], resolution: numbers[2], scene: decoded(scene) };
}
