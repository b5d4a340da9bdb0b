// What is shown: the map of a word, or the difference of two, with its scale and colours.

const colormaps = new Map(data.colormaps.map((map) => [map.name, bytes(map.table)]));

/** More for the first word is orange, more for the second blue; both can be told apart without seeing red or green. */
const MORE = [255, 150, 40];
const LESS = [70, 160, 255];

/** Largest absolute value among the cells that reach into a picture. */
function largestVisible(grids, parts) {
  let largest = 0;
  grids.forEach((cells, grid) =>
    cells.forEach((value, cell) => {
      if (Math.abs(value) > largest && isVisible(grid, cell, parts)) largest = Math.abs(value);
    }),
  );
  return largest;
}

const commonScales = new Map();

/** The largest value of any word under this method at this layer. */
function commonScale(method, layer) {
  const key = `${method} ${layer}`;
  if (!commonScales.has(key)) {
    const { parts } = data.methods[method];
    const largest = data.targets.map((_, target) => largestVisible(gridsOf(rowIndex(target, method, layer)), parts));
    commonScales.set(key, largest.reduce((a, b) => Math.max(a, b), 0));
  }
  return commonScales.get(key);
}

function gridsOf(row) {
  return data.grids.map((_, grid) => cellsOf(row, grid));
}

function mapOf(target, view) {
  const grids = gridsOf(rowIndex(target, view.method, view.layer));
  const { parts } = data.methods[view.method];
  const max = view.common ? commonScale(view.method, view.layer) : largestVisible(grids, parts);
  return { grids, max, parts, signed: false };
}

/** First minus second: of the values on a common scale, otherwise of the parts of each word's own map. */
function differenceOf(first, second, view) {
  const part = (target) => {
    const grids = gridsOf(rowIndex(target, view.method, view.layer));
    const sum = grids.reduce((all, cells) => cells.reduce((a, b) => a + b, all), 0);
    return { grids, by: view.common || sum === 0 ? 1 : 1 / sum };
  };
  const [a, b] = [part(first), part(second)];
  const grids = a.grids.map((cells, g) => cells.map((value, i) => value * a.by - b.grids[g][i] * b.by));
  const { parts } = data.methods[view.method];
  return { grids, max: largestVisible(grids, parts), parts, signed: true };
}

/** The 256 colours (or twice 256, from − to +) with opacity, as bytes. */
function inks(signed, view) {
  const levels = signed ? 511 : 256;
  const table = new Uint8ClampedArray(levels * 4);
  for (let i = 0; i < levels; i += 1) {
    const part = signed ? Math.abs(i - 255) / 255 : i / 255;
    const colour = signed ? (i < 255 ? LESS : MORE) : colormaps.get(view.colormap).subarray(3 * i, 3 * i + 3);
    table.set(colour, 4 * i);
    // As the crate's opacity by value: the middle of the scale stays visible although its colours are dark.
    const opacity = part * 100 < view.threshold ? 0 : view.opacity * part * (2 - part);
    table[4 * i + 3] = opacity * 255 / 100;
  }
  return table;
}
