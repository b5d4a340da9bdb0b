// The block of data, decoded: typed arrays and where in them a row lies.

const data = JSON.parse(byId('data').textContent);

function bytes(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** Little-endian, as every browser's typed arrays are. */
const cellSteps = new Uint16Array(bytes(data.cells).buffer);
const cellScales = new Float32Array(bytes(data.scales).buffer);
const gridShares = new Float32Array(bytes(data.shares).buffer);
const textSteps = new Uint16Array(bytes(data.text).buffer);
const textScales = new Float32Array(bytes(data.textScales).buffer);
const totals = new Float32Array(bytes(data.totals).buffer);
const selves = new Float32Array(bytes(data.selves).buffer);
const STEPS = 65535;

const nGrids = data.grids.length;
const cellCounts = data.grids.map((grid) => grid.rows * grid.columns);
const cellStarts = starts(cellCounts);
const methodStarts = starts(data.methods.map((method) => 1 + method.layers.length));
const textStarts = starts(data.textLengths);
const weights = data.regions.map((region) => region.weights.map((text) => text && bytes(text)));

/** Running sums; the last one is the sum of all. */
function starts(counts) {
  let sum = 0;
  return [0, ...counts.map((count) => (sum += count))];
}

/** The row of a target under a method; layer −1 is the result. */
function rowIndex(target, method, layer) {
  return target * methodStarts[data.methods.length] + methodStarts[method] + 1 + layer;
}

/** Values of the cells of one grid. */
function cellsOf(row, grid) {
  const start = row * cellStarts[nGrids] + cellStarts[grid];
  const perStep = cellScales[row * nGrids + grid] / STEPS;
  return Float64Array.from(cellSteps.subarray(start, start + cellCounts[grid]), (step) => step * perStep);
}

/** Share of one grid in a row without self terms. */
function gridShare(row, grid) {
  return gridShares[row * nGrids + grid];
}

/** Share of a picture, or of all pictures together. */
function pictureShare(row, picture = null) {
  return data.grids.reduce(
    (sum, grid, index) => (picture === null || grid.picture === picture ? sum + gridShare(row, index) : sum),
    0,
  );
}

/** Values of the text tokens of a result; zero behind the last that is stored. */
function textOf(target, method) {
  const result = target * data.methods.length + method;
  const perStep = textScales[result] / STEPS;
  const values = new Float64Array(data.textPositions.length);
  textSteps.subarray(textStarts[result], textStarts[result + 1]).forEach((step, index) => {
    values[index] = step * perStep;
  });
  return { values, largest: textScales[result], total: totals[result], self: selves[result] };
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

const visible = data.grids.map((grid) => {
  const [x0, y0, x1, y1] = grid.placement;
  const picture = data.pictures[grid.picture];
  return {
    rows: visibleCells(y0, y1, grid.rows, picture.height),
    columns: visibleCells(x0, x1, grid.columns, picture.width),
  };
});

function isVisible(grid, cell) {
  const { rows, columns } = visible[grid];
  const row = Math.floor(cell / data.grids[grid].columns);
  const column = cell % data.grids[grid].columns;
  return row >= rows[0] && row < rows[1] && column >= columns[0] && column < columns[1];
}
