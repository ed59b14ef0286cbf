// Numbers as people read them.

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const three = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 3 });

/** 32768 -> "32,768" */
export function count(value) {
  return whole.format(value);
}

/** "1 tile", "4 tiles" */
export function plural(value, noun) {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** 0.5 -> "50 cm", 1234 -> "1.23 km" */
export function meters(value) {
  if (value >= 1000) return `${three.format(value / 1000)} km`;
  if (value >= 1) return `${three.format(value)} m`;
  return `${three.format(value * 100)} cm`;
}

/** What one pixel of a level covers: on the ground where that is known, else in native pixels. */
export function levelScale(level, gsd) {
  return gsd ? `${meters(gsd * 2 ** level)}/px` : `1:${count(2 ** level)}`;
}

/** 0.963 -> "96%"; "<1%" where something is there that would read as nothing */
export function share(value) {
  if (value === null || value === undefined) return "–";
  if (value > 0 && value < 0.005) return "<1%";
  return `${Math.round(value * 100)}%`;
}

/** 8.412 -> "8.4 s", 75 -> "1 min 15 s" */
export function seconds(value) {
  if (value < 10) return `${value.toFixed(1)} s`;
  if (value < 60) return `${Math.round(value)} s`;
  return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
}

/** Degrees with a letter, as maps print them: 48.12345° N 11.12345° E */
export function lonLat(lon, lat) {
  const east = ((((lon + 180) % 360) + 360) % 360) - 180;
  const letter = (value, plus, minus) => `${Math.abs(value).toFixed(5)}° ${value < 0 ? minus : plus}`;
  return `${letter(lat, "N", "S")} ${letter(east, "E", "W")}`;
}

/** [2496, 9216, 2688, 9408] -> "192 × 192 at 2496, 9216", all in pixels */
export function boxText([x0, y0, x1, y1]) {
  return `${x1 - x0} × ${y1 - y0} at ${x0}, ${y0}`;
}
