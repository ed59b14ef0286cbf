// Two maps that move together: by the ground where both know it, else by their place in the picture.

/**
 * @param {SceneMap} from
 * @param {SceneMap} to
 * @param {"ground"|"picture"} way
 * @returns {Object|null} the state that `to` takes; null where the place is not on its ground
 */
export function linkedState(from, to, way) {
  const [x, y] = from.center();
  const { resolution, rotation } = from.state();
  if (way === "picture") return byPicture(from.scene, to.scene, x, y, resolution, rotation);
  if (!from.ground.knows(x, y)) return null;
  const place = from.ground.lonLat(x, y);
  const pixel = to.ground.pixel(...place);
  if (!pixel) return null;
  const scale = from.ground.metersPerPixel(x, y) / to.ground.metersPerPixel(...pixel);
  const turn = to.ground.north(...pixel) - from.ground.north(x, y);
  return { x: pixel[0], y: pixel[1], resolution: resolution * scale, rotation: rotation + turn };
}

function byPicture(from, to, x, y, resolution, rotation) {
  const scale = to.width / from.width;
  return { x: x * scale, y: (y * to.height) / from.height, resolution: resolution * scale, rotation };
}

/** Whether two scenes show places in common, as far as their outer bounds tell. */
export function meetOnGround(a, b) {
  if (!a?.ground || !b?.ground) return false;
  const [first, second] = [a.ground.bounds(), b.ground.bounds()];
  const turns = 360 * Math.round((first[0] - second[0]) / 360);
  return first[0] <= second[2] + turns && second[0] + turns <= first[2]
    && first[1] <= second[3] && second[1] <= first[3];
}
