// From pixels to longitude and latitude and back, by a grid of nodes that the server computed:
// no projection library is needed, whatever the CRS, GCPs or RPCs of the scene.

const RADIUS = 6_371_008.8;
const DEGREE = Math.PI / 180;

export class Ground {
  /** @param {{columns: number[], rows: number[], lon: number[][], lat: number[][]}} grid */
  constructor({ columns, rows, lon, lat }) {
    this.columns = columns;
    this.rows = rows;
    this.lon = lon;
    this.lat = lat;
  }

  /** A place off the map of its CRS has no numbers. */
  knows(x, y) {
    return this.lonLat(x, y).every(Number.isFinite) && Number.isFinite(this.metersPerPixel(x, y));
  }

  /** [lon, lat] of a pixel; longitudes run on beyond 180 where the scene crosses it. */
  lonLat(x, y) {
    const [i, u] = cell(this.columns, x);
    const [j, v] = cell(this.rows, y);
    return [bilinear(this.lon, i, j, u, v), bilinear(this.lat, i, j, u, v)];
  }

  /** [west, south, east, north] of all nodes that are on the map. */
  bounds() {
    const known = (table) => table.flat().filter(Number.isFinite);
    const [lon, lat] = [known(this.lon), known(this.lat)];
    return [Math.min(...lon), Math.min(...lat), Math.max(...lon), Math.max(...lat)];
  }

  /** [x, y] of a place by Newton's method; null where it does not lie near the scene. */
  pixel(lon, lat) {
    const width = this.columns.at(-1) - this.columns[0];
    const height = this.rows.at(-1) - this.rows[0];
    let [x, y] = [this.columns[0] + width / 2, this.rows[0] + height / 2];
    const middle = this.lonLat(x, y)[0];
    const east = lon + 360 * Math.round((middle - lon) / 360);
    for (let step = 0; step < 30; step += 1) {
      const [a, b] = this.lonLat(x, y);
      const [ax, ay, bx, by] = this.#slopes(x, y);
      const det = ax * by - ay * bx;
      if (!(Math.abs(det) > 0)) return null;
      const dx = (by * (east - a) - ay * (lat - b)) / det;
      const dy = (ax * (lat - b) - bx * (east - a)) / det;
      // far outside the grid's cells are continued as planes, which is good enough to come back
      x = clamp(x + dx, this.columns[0] - width, this.columns.at(-1) + width);
      y = clamp(y + dy, this.rows[0] - height, this.rows.at(-1) + height);
      if (Math.hypot(dx, dy) < 1e-3) return [x, y];
    }
    return null;
  }

  /** Angle of north in radians, counter-clockwise from the x axis of a picture with y up. */
  north(x, y) {
    const [ax, ay, bx, by] = this.#slopes(x, y);
    const det = ax * by - ay * bx;
    return Math.atan2(-ax / det, -ay / det);
  }

  /** Meters that one pixel covers, as the root of its area. */
  metersPerPixel(x, y) {
    const [ax, ay, bx, by] = this.#slopes(x, y);
    const lat = this.lonLat(x, y)[1];
    const area = Math.abs(ax * by - ay * bx) * Math.cos(lat * DEGREE);
    return Math.sqrt(area) * DEGREE * RADIUS;
  }

  /** Slopes of lon by x and y, then of lat by x and y, within the cell of the pixel. */
  #slopes(x, y) {
    const [i, u] = cell(this.columns, x);
    const [j, v] = cell(this.rows, y);
    const wide = this.columns[i + 1] - this.columns[i];
    const tall = this.rows[j + 1] - this.rows[j];
    const along = (table) => [
      ((1 - v) * (table[j][i + 1] - table[j][i]) + v * (table[j + 1][i + 1] - table[j + 1][i])) / wide,
      ((1 - u) * (table[j + 1][i] - table[j][i]) + u * (table[j + 1][i + 1] - table[j][i + 1])) / tall,
    ];
    return [...along(this.lon), ...along(this.lat)];
  }
}

function cell(nodes, value) {
  let index = 0;
  while (index < nodes.length - 2 && nodes[index + 1] <= value) index += 1;
  return [index, (value - nodes[index]) / (nodes[index + 1] - nodes[index])];
}

function bilinear(table, i, j, u, v) {
  return (1 - v) * ((1 - u) * table[j][i] + u * table[j][i + 1])
    + v * ((1 - u) * table[j + 1][i] + u * table[j + 1][i + 1]);
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}
