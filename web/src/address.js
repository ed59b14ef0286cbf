// The view in the address, so that a reload or a bookmark comes back to it: #x,y,resolution,scene

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

/** @returns {{x, y, resolution, scene}|null} what the address says, if it says something possible */
export function viewOfAddress() {
  const [x, y, resolution, scene] = location.hash.slice(1).split(",");
  const numbers = [x, y, resolution].map(Number);
  if (!scene || !numbers.every(Number.isFinite) || numbers[2] <= 0) return null;
  return { x: numbers[0], y: numbers[1], resolution: numbers[2], scene: decodeURIComponent(scene) };
}
