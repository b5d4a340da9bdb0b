// From cells to pixels, by the rules of the crate: values live at centres, cells wholly within the padding take no part.

/** Longer side of the lattice that heat is computed on. */
const LATTICE = 768;

/** For each lattice column (or row): two cells and the weight of the second; null where the grid does not reach. */
function taps([start, end], cells, [first, last], pixels, n, smooth) {
  return Array.from({ length: n }, (_, i) => {
    const centre = ((i + 0.5) * pixels) / n;
    if (centre < start || centre >= end) return null;
    const u = ((centre - start) * cells) / (end - start);
    if (!smooth) {
      const cell = Math.min(Math.max(Math.floor(u), first), last - 1);
      return [cell, cell, 0];
    }
    const v = Math.min(Math.max(u - 0.5, first), last - 1);
    const lower = Math.floor(v);
    return [lower, Math.min(lower + 1, last - 1), v - lower];
  });
}

function latticeSize(picture, side) {
  const factor = side / Math.max(picture.width, picture.height);
  return [picture.width, picture.height].map((length) => Math.max(1, Math.round(length * factor)));
}

/** Values on the lattice of a picture; NaN where no grid lies. Where grids overlap, the larger value counts. */
function field(map, pictureIndex, smooth, side) {
  const picture = data.pictures[pictureIndex];
  const [width, height] = latticeSize(picture, side);
  const values = new Float64Array(width * height).fill(NaN);
  data.grids.forEach((coarse, index) => {
    if (coarse.picture !== pictureIndex) return;
    const grid = cut(coarse, map.parts);
    const seen = visible(index, map.parts);
    const [x0, y0, x1, y1] = grid.placement;
    const columns = taps([x0, x1], grid.columns, seen.columns, picture.width, width, smooth);
    const rows = taps([y0, y1], grid.rows, seen.rows, picture.height, height, smooth);
    raise(values, width, map.grids[index], grid.columns, columns, rows);
  });
  return { values, width, height };
}

function raise(values, width, cells, nColumns, columns, rows) {
  rows.forEach((row, y) => {
    if (!row) return;
    const [upper, lower, weight] = row;
    const line = Float64Array.from({ length: nColumns }, (_, column) => {
      const [a, b] = [cells[upper * nColumns + column], cells[lower * nColumns + column]];
      return a + (b - a) * weight;
    });
    for (let x = 0; x < width; x += 1) {
      if (!columns[x]) continue;
      const [left, right, part] = columns[x];
      const value = line[left] + (line[right] - line[left]) * part;
      const at = y * width + x;
      if (!(Math.abs(values[at]) >= Math.abs(value))) values[at] = value;
    }
  });
}

/** The heat of a map over a picture as a canvas. */
function heat(map, pictureIndex, view, side = LATTICE) {
  return coloured(field(map, pictureIndex, view.smooth, side), map, view);
}

/** Values as colours on the scale of a map. */
function coloured({ values, width, height }, map, view) {
  const canvas = document.createElement('canvas');
  Object.assign(canvas, { width, height });
  const context = canvas.getContext('2d');
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const colours = new Uint32Array(inks(map.signed, view).buffer);
  const zero = map.signed ? 255 : 0;
  const perValue = map.max > 0 ? 255 / map.max : 0;
  for (let i = 0; i < values.length && perValue > 0; i += 1) {
    const level = Math.round(Math.min(255, Math.max(-255, values[i] * perValue))) + zero;
    if (level >= 0) pixels[i] = colours[level]; // no comparison holds for NaN
  }
  context.putImageData(image, 0, 0);
  return canvas;
}
