// From cells to colours, by the rules of the report: values live at centres, cells wholly outside the picture take no part.

import { colours } from './colours.js';

/** Longer side of the lattice that heat is computed on. */
const LATTICE = 768;

/** More is orange, less is blue: both can be told apart without seeing red or green. */
const MORE = [255, 150, 40];
const LESS = [70, 160, 255];

/** The cells of one axis that reach into the picture: the first, and the one after the last. */
function reaching(start, length, cells, side) {
  const cell = length / cells;
  return [Math.max(0, Math.floor(-start / cell + 1e-9)), Math.min(cells, Math.ceil((side - start) / cell - 1e-9))];
}

/** Rows and columns of a map that reach into its picture. */
export function visibleCells(map, picture) {
  const [x, y, width, height] = map.region;
  return {
    columns: reaching(x, width, map.columns, picture.width),
    rows: reaching(y, height, map.rows, picture.height),
  };
}

/** Visits every cell that reaches into the picture with its value, row and column. */
export function eachVisible(map, picture, visit) {
  const { rows, columns } = visibleCells(map, picture);
  for (let row = rows[0]; row < rows[1]; row += 1) {
    for (let column = columns[0]; column < columns[1]; column += 1) visit(map.values[row * map.columns + column], row, column);
  }
}

/** Largest absolute value among visible cells of maps; `pictures` are those that the maps count. */
export function largestOf(maps, pictures) {
  let largest = 0;
  maps.forEach((map) => {
    const picture = pictures[map.picture];
    if (picture) eachVisible(map, picture, (value) => { largest = Math.max(largest, Math.abs(value)); });
  });
  return largest;
}

export const isSigned = (maps) => maps.some((map) => map.values.some((value) => value < 0));

/** For each column (or row) of the lattice: two cells and the weight of the second; null where the map does not reach. */
function taps([start, length], cells, [first, last], pixels, n, smooth) {
  return Array.from({ length: n }, (_, i) => {
    const centre = ((i + 0.5) * pixels) / n;
    if (centre < start || centre >= start + length) return null;
    const u = ((centre - start) * cells) / length;
    if (!smooth) {
      const cell = Math.min(Math.max(Math.floor(u), first), last - 1);
      return [cell, cell, 0];
    }
    const v = Math.min(Math.max(u - 0.5, first), last - 1);
    const lower = Math.floor(v);
    return [lower, Math.min(lower + 1, last - 1), v - lower];
  });
}

/** Values on the lattice of a picture; NaN where no map lies. Where maps overlap, the larger value counts. */
function field(maps, picture, smooth, side) {
  const factor = side / Math.max(picture.width, picture.height);
  const [width, height] = [picture.width, picture.height].map((length) => Math.max(1, Math.round(length * factor)));
  const values = new Float64Array(width * height).fill(NaN);
  maps.forEach((map) => {
    const [x, y, w, h] = map.region;
    const seen = visibleCells(map, picture);
    if (seen.columns[0] >= seen.columns[1] || seen.rows[0] >= seen.rows[1]) return;
    const columns = taps([x, w], map.columns, seen.columns, picture.width, width, smooth);
    const rows = taps([y, h], map.rows, seen.rows, picture.height, height, smooth);
    raise(values, width, map, columns, rows);
  });
  return { values, width, height };
}

function raise(values, width, { values: cells, columns: n }, columns, rows) {
  rows.forEach((row, y) => {
    if (!row) return;
    const [upper, lower, weight] = row;
    const line = Float64Array.from({ length: n }, (_, column) => {
      const [a, b] = [cells[upper * n + column], cells[lower * n + column]];
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

/** The 256 colours (or 511, from − to +) with opacity, as bytes. */
function inks(signed, { colormap, opacity }) {
  const levels = signed ? 511 : 256;
  const table = new Uint8ClampedArray(levels * 4);
  const all = colours(colormap);
  for (let i = 0; i < levels; i += 1) {
    const part = signed ? Math.abs(i - 255) / 255 : i / 255;
    const colour = signed ? (i < 255 ? LESS : MORE) : all.subarray(3 * i, 3 * i + 3);
    table.set(colour, 4 * i);
    // The middle of the scale stays visible although its colours are dark.
    table[4 * i + 3] = (255 * opacity * part * (2 - part)) / 100;
  }
  return table;
}

/** The heat of maps over one picture as a canvas. `view`: smooth, colormap, opacity in percent. */
export function heat(maps, picture, { max, signed }, view, side = LATTICE) {
  const { values, width, height } = field(maps, picture, view.smooth, side);
  const canvas = document.createElement('canvas');
  Object.assign(canvas, { width, height });
  const context = canvas.getContext('2d');
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const table = new Uint32Array(inks(signed, view).buffer);
  const zero = signed ? 255 : 0;
  for (let i = 0; i < values.length && max > 0; i += 1) {
    const level = Math.round(Math.min(255, Math.max(-255, (values[i] * 255) / max))) + zero;
    if (level >= 0) pixels[i] = table[level]; // no comparison holds for NaN
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** Draws the scale into a canvas of 511 × 1 pixels. */
export function drawScale(canvas, signed, colormap) {
  const context = canvas.getContext('2d');
  const image = context.createImageData(511, 1);
  const table = inks(signed, { colormap, opacity: 100 });
  for (let i = 0; i < 511; i += 1) {
    const level = signed ? i : Math.round(i / 2);
    image.data.set(table.subarray(4 * level, 4 * level + 3), 4 * i);
    image.data[4 * i + 3] = signed ? Math.abs(i - 255) : 255;
  }
  context.putImageData(image, 0, 0);
}
