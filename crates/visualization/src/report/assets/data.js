// The block of data, decoded: typed arrays and where in them a row lies.

const data = JSON.parse(byId('data').textContent);

function bytes(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** Little-endian, as every browser's typed arrays are. */
const cellSteps = new Uint16Array(bytes(data.cells).buffer);
const signedCellSteps = new Int16Array(cellSteps.buffer);
const cellScales = new Float32Array(bytes(data.scales).buffer);
const gridShares = new Float32Array(bytes(data.shares).buffer);
const textSteps = new Uint16Array(bytes(data.text).buffer);
const signedTextSteps = new Int16Array(textSteps.buffer);
const textScales = new Float32Array(bytes(data.textScales).buffer);
const totals = new Float32Array(bytes(data.totals).buffer);
const selves = new Float32Array(bytes(data.selves).buffer);
const STEPS = 65535;
const SIGNED_STEPS = 32767;

const nGrids = data.grids.length;
const cellCounts = data.grids.map((grid) => grid.rows * grid.columns);
const cellStarts = starts(cellCounts);

/** For each target and method where its rows begin, how many layers follow, and which result it is; or why there is none. */
const rowMethods = [];
const resultMethods = [];
const entries = data.rows.map((methods) =>
  methods.map((layers, method) => {
    if (typeof layers === 'string') return { why: layers };
    const entry = { row: rowMethods.length, layers, result: resultMethods.length };
    for (let row = 0; row <= layers; row += 1) rowMethods.push(method);
    resultMethods.push(method);
    return entry;
  }),
);
const rowStarts = starts(rowMethods.map((method) => cellStarts[nGrids] * data.methods[method].parts ** 2));
const textStarts = starts(data.textLengths);
const weights = data.regions.map((region) => region.weights.map((text) => text && bytes(text)));

/** Running sums; the last one is the sum of all. */
function starts(counts) {
  let sum = 0;
  return [0, ...counts.map((count) => (sum += count))];
}

/** The row of a target under a method; layer −1 is the result. Null where there is none: `missing` says why. */
function rowIndex(target, method, layer) {
  const { row, layers } = entries[target][method];
  if (row === undefined || layer >= layers) return null;
  return row + 1 + layer;
}

/** Why a target has no row; null where it has one. */
function missing(target, method, layer) {
  if (rowIndex(target, method, layer) !== null) return null;
  return entries[target][method].why ?? 'it was not recorded layer by layer';
}

/** Whether anything but the self term speaks for a target, in text or pictures. */
function speaks(row) {
  return totals[row] > 0;
}

/** Values of the cells of one grid, or of their parts where the row's method cuts them. */
function cellsOf(row, grid) {
  const { parts: side, signs } = data.methods[rowMethods[row]];
  const parts = side ** 2;
  const start = rowStarts[row] + cellStarts[grid] * parts;
  const [steps, most] = signs ? [signedCellSteps, SIGNED_STEPS] : [cellSteps, STEPS];
  const perStep = cellScales[row * nGrids + grid] / most;
  return Float64Array.from(steps.subarray(start, start + cellCounts[grid] * parts), (step) => step * perStep);
}

/** A grid whose cells are cut into this many parts a side. */
function cut(grid, parts) {
  return { ...grid, rows: grid.rows * parts, columns: grid.columns * parts };
}

/** A grid with the cells of the method that is shown. */
function shownGrid(index) {
  return cut(data.grids[index], data.methods[state.method].parts);
}

/** The values of a grid's own cells: sums over their parts. */
function whole(values, index, parts) {
  if (parts === 1) return values;
  const grid = data.grids[index];
  const sums = new Float64Array(cellCounts[index]);
  values.forEach((value, at) => {
    const row = Math.floor(at / (grid.columns * parts));
    const column = at % (grid.columns * parts);
    sums[Math.floor(row / parts) * grid.columns + Math.floor(column / parts)] += value;
  });
  return sums;
}

/** Share of one grid in all of a row but its self terms; null without a row, or where it is zero. */
function gridShare(row, grid) {
  return row === null || !speaks(row) ? null : gridShares[row * nGrids + grid];
}

/** Share of a picture, or of all pictures together. */
function pictureShare(row, picture = null) {
  if (row === null || !speaks(row)) return null;
  return data.grids.reduce(
    (sum, grid, index) => (picture === null || grid.picture === picture ? sum + gridShare(row, index) : sum),
    0,
  );
}

/** Values of the text tokens of a result; zero behind the last that is stored. Null where there is no result. */
function textOf(target, method) {
  const { row, result } = entries[target][method];
  if (row === undefined) return null;
  const [steps, most] = data.methods[method].signs ? [signedTextSteps, SIGNED_STEPS] : [textSteps, STEPS];
  const perStep = textScales[result] / most;
  const values = new Float64Array(data.textPositions.length);
  steps.subarray(textStarts[result], textStarts[result + 1]).forEach((step, index) => {
    values[index] = step * perStep;
  });
  // A character that byte tokens make together stands at the first of them, with the sum of their values.
  data.textCharacters.forEach(([start, end]) => {
    const sum = values.subarray(start, end).reduce((a, b) => a + b, 0);
    values.fill(0, start, end)[start] = sum;
  });
  return { values, total: totals[row], self: selves[result] };
}

/** Rows and columns of a grid that reach into its picture: [first, behind the last]. */
function visibleCells(start, end, cells, pixels) {
  const edge = (i) => start + ((end - start) * i) / cells;
  let first = 0;
  while (first < cells - 1 && edge(first + 1) <= 0) first += 1;
  let last = cells;
  while (last > first + 1 && edge(last - 1) >= pixels) last -= 1;
  return [first, last];
}

/** For each number of parts a side the rows and columns of every grid that can be seen. */
const visibleByParts = new Map();

function visible(index, parts) {
  if (!visibleByParts.has(parts)) {
    visibleByParts.set(parts, data.grids.map((grid) => {
      const [x0, y0, x1, y1] = grid.placement;
      const picture = data.pictures[grid.picture];
      return {
        rows: visibleCells(y0, y1, grid.rows * parts, picture.height),
        columns: visibleCells(x0, x1, grid.columns * parts, picture.width),
      };
    }));
  }
  return visibleByParts.get(parts)[index];
}

function isVisible(grid, cell, parts) {
  const { rows, columns } = visible(grid, parts);
  const across = data.grids[grid].columns * parts;
  const row = Math.floor(cell / across);
  const column = cell % across;
  return row >= rows[0] && row < rows[1] && column >= columns[0] && column < columns[1];
}
