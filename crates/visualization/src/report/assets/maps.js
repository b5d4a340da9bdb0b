// What is shown: the map of a word, or the difference of two, with its scale and colours.

const colormaps = new Map(data.colormaps.map((map) => [map.name, { ...map, table: bytes(map.table) }]));

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
    const rows = data.targets.map((_, target) => rowIndex(target, method, layer)).filter((row) => row !== null);
    const largest = rows.map((row) => largestVisible(gridsOf(row), parts));
    commonScales.set(key, largest.reduce((a, b) => Math.max(a, b), 0));
  }
  return commonScales.get(key);
}

function gridsOf(row) {
  return data.grids.map((_, grid) => cellsOf(row, grid));
}

/** The map of a target; null where it has none. */
function mapOf(target, view) {
  const row = rowIndex(target, view.method, view.layer);
  if (row === null) return null;
  const grids = gridsOf(row);
  const { parts, signs } = data.methods[view.method];
  const max = view.common ? commonScale(view.method, view.layer) : largestVisible(grids, parts);
  return { grids, max, parts, signed: signs !== null };
}

/** First minus second: of the values on a common scale, otherwise of the parts of each word's own map. */
function differenceOf(first, second, view) {
  const rows = [first, second].map((target) => rowIndex(target, view.method, view.layer));
  if (rows.includes(null)) return null;
  const part = (row) => {
    const grids = gridsOf(row);
    const sum = grids.reduce((all, cells) => cells.reduce((a, b) => a + Math.abs(b), all), 0);
    return { grids, by: view.common || sum === 0 ? 1 : 1 / sum };
  };
  const [a, b] = rows.map(part);
  const grids = a.grids.map((cells, g) => cells.map((value, i) => value * a.by - b.grids[g][i] * b.by));
  const { parts } = data.methods[view.method];
  return { grids, max: largestVisible(grids, parts), parts, signed: true };
}

/** The 256 colours (or twice 256, from − to +) with opacity, as bytes. */
function inks(signed, view) {
  const levels = signed ? 511 : 256;
  const table = new Uint8ClampedArray(levels * 4);
  const { table: colours, diverging } = colormaps.get(view.colormap);
  const colourOf = (i) => {
    if (signed && !diverging) return i < 255 ? LESS : MORE;
    // A diverging map has zero in its middle.
    const at = signed ? Math.round(i / 2) : diverging ? 128 + Math.floor(i / 2) : i;
    return colours.subarray(3 * at, 3 * at + 3);
  };
  for (let i = 0; i < levels; i += 1) {
    const part = signed ? Math.abs(i - 255) / 255 : i / 255;
    table.set(colourOf(i), 4 * i);
    // As the crate's opacity by value: the middle of the scale stays visible although its colours are dark.
    const opacity = part * 100 < view.threshold ? 0 : view.opacity * part * (2 - part);
    table[4 * i + 3] = opacity * 255 / 100;
  }
  return table;
}
