// Lines around the hottest cells, by the rules of the crate: quantiles of the visible cells, and no line where there is little.

/** A line is drawn only where its level is at least this part of the largest value of the picture. */
const CONTOUR_FLOOR = 0.1;
/** Longer side of the lattice that lines are sought on. */
const CONTOUR_LATTICE = 192;
/** Below every value: outside the maps. */
const OUTSIDE = -1e300;

/** The quantile q of sorted values, between two of them interpolated. */
function quantile(sorted, q) {
  const at = q * (sorted.length - 1);
  const [below, above] = [Math.floor(at), Math.ceil(at)];
  return sorted[below] + (sorted[above] - sorted[below]) * (at - below);
}

/** The quantiles that have a line over a picture, with their levels. */
function contourLevels(map, picture, quantiles) {
  const values = data.grids.flatMap((grid, index) =>
    grid.picture === picture ? [...map.grids[index].filter((_, cell) => isVisible(index, cell, map.parts))] : [],
  ).sort((a, b) => a - b);
  if (map.signed || values.length === 0) return [];
  const [lowest, largest] = [values[0], values[values.length - 1]];
  const levels = quantiles.map((q) => ({ q, level: quantile(values, q) }));
  return levels.filter(({ level }) => level > lowest && level >= CONTOUR_FLOOR * largest);
}

/** The lines as one path, in parts of the picture. */
function contourPath(map, picture, levels, smooth) {
  const { values, width, height } = field(map, picture, smooth, CONTOUR_LATTICE);
  const at = (x, y) => {
    const value = x < 0 || y < 0 || x >= width || y >= height ? NaN : values[y * width + x];
    return Number.isNaN(value) ? OUTSIDE : value;
  };
  const path = [];
  levels.forEach(({ level }) => {
    for (let y = -1; y < height; y += 1) {
      for (let x = -1; x < width; x += 1) addSegments(path, at, [x, y], level);
    }
  });
  return path.map(([x, y]) => [(x + 0.5) / width, (y + 0.5) / height]);
}

/** Marching squares: pairs of points, where the four sides of a square pass the level. */
function addSegments(path, at, [x, y], level) {
  const corners = [[x, y], [x + 1, y], [x + 1, y + 1], [x, y + 1]];
  const values = corners.map(([cx, cy]) => at(cx, cy));
  const crossings = [];
  values.forEach((value, side) => {
    const next = (side + 1) % 4;
    const other = values[next];
    if ((value >= level) === (other >= level)) return;
    const part = (level - value) / (other - value);
    crossings.push([0, 1].map((axis) => corners[side][axis] + part * (corners[next][axis] - corners[side][axis])));
  });
  // With four, the middle says which belong together.
  const middle = values.reduce((a, b) => a + b / 4, 0);
  if (crossings.length === 4 && (middle >= level) !== (values[0] >= level)) crossings.push(crossings.shift());
  path.push(...crossings);
}
