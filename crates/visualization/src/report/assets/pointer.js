// Pointer and keys on a picture: cells, zoom, pan. All panels share one view.

const pointers = new Map();

/** A point of the window in parts of the picture. */
function toPicture(canvas, clientX, clientY) {
  const box = canvas.getBoundingClientRect();
  const { scale, left, top } = geometry(box.width, box.height);
  const picture = data.pictures[state.picture];
  return {
    x: (clientX - box.left - left) / scale / picture.width,
    y: (clientY - box.top - top) / scale / picture.height,
    perPixel: { x: 1 / scale / picture.width, y: 1 / scale / picture.height },
  };
}

/** The cell at a point; of several grids the one with the largest value there. */
function cellAt(x, y) {
  const picture = data.pictures[state.picture];
  if (x < 0 || y < 0 || x >= 1 || y >= 1) return null;
  const target = currentRow(primary());
  let found = null;
  eachGridHere((_, index) => {
    const grid = shownGrid(index);
    const [x0, y0, x1, y1] = grid.placement;
    const column = Math.floor(((x * picture.width - x0) / (x1 - x0)) * grid.columns);
    const row = Math.floor(((y * picture.height - y0) / (y1 - y0)) * grid.rows);
    if (row < 0 || column < 0 || row >= grid.rows || column >= grid.columns) return;
    const cell = { grid: index, index: row * grid.columns + column };
    const value = target === null ? 0 : Math.abs(cellsOf(target, index)[cell.index]);
    if (!found || value > found.value) found = { ...cell, value };
  });
  return found;
}

function listenToPanel({ canvas }) {
  canvas.addEventListener('pointerdown', (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, event);
    showCell(canvas, event);
  });
  canvas.addEventListener('pointermove', (event) => {
    const before = pointers.get(event.pointerId);
    if (before) drag(canvas, before, event);
    showCell(canvas, event);
  });
  const end = (event) => pointers.delete(event.pointerId);
  canvas.addEventListener('pointerup', end);
  canvas.addEventListener('pointercancel', end);
  canvas.addEventListener('pointerleave', (event) => {
    if (event.pointerType === 'mouse' && document.activeElement !== canvas) update({ cell: null });
  });
  canvas.addEventListener('dblclick', () => moveTo(0.5, 0.5, 1));
  canvas.addEventListener('wheel', (event) => wheel(canvas, event), { passive: false });
  canvas.addEventListener('keydown', panelKey);
}

function showCell(canvas, event) {
  const { x, y } = toPicture(canvas, event.clientX, event.clientY);
  update({ cell: cellAt(x, y) });
}

function drag(canvas, before, event) {
  const others = [...pointers.values()].filter((other) => other.pointerId !== event.pointerId);
  const { perPixel } = toPicture(canvas, event.clientX, event.clientY);
  if (others.length > 0) pinch(canvas, others[0], before, event);
  else if (state.zoom > 1) {
    moveTo(
      state.x - (event.clientX - before.clientX) * perPixel.x,
      state.y - (event.clientY - before.clientY) * perPixel.y,
    );
  }
  pointers.set(event.pointerId, event);
}

function pinch(canvas, still, before, now) {
  const distance = (event) => Math.hypot(event.clientX - still.clientX, event.clientY - still.clientY);
  if (distance(before) === 0) return;
  const middle = toPicture(canvas, (now.clientX + still.clientX) / 2, (now.clientY + still.clientY) / 2);
  zoomBy(distance(now) / distance(before), middle.x, middle.y);
}

/**
 * The page scrolls over a picture as anywhere; with Ctrl (as pinching a touchpad gives), or on a focused picture, it zooms. Over a slice
 * it goes through the series instead, with Shift or on a focused picture; Ctrl still zooms.
 */
function wheel(canvas, event) {
  const zooms = event.ctrlKey || event.metaKey;
  const focused = document.activeElement === canvas;
  if (!zooms && shownSlice() && (event.shiftKey || focused)) return wheelSlices(event);
  if (!zooms && !focused) return;
  event.preventDefault();
  const { x, y } = toPicture(canvas, event.clientX, event.clientY);
  zoomBy(Math.exp(-Math.max(-60, Math.min(60, event.deltaY)) / 120), x, y);
}

/** Pixels of a wheel, or of two fingers, that are one slice; what is left over is kept for the next event. */
const WHEEL_OF_A_SLICE = 40;
let wheeled = 0;

function wheelSlices(event) {
  event.preventDefault();
  // With Shift some browsers turn the wheel sideways; some count lines.
  const moved = (event.deltaY || event.deltaX) * (event.deltaMode === 0 ? 1 : WHEEL_OF_A_SLICE);
  // A notch of a wheel is one slice, whatever it is worth.
  wheeled = Math.abs(moved) >= WHEEL_OF_A_SLICE ? Math.sign(moved) * WHEEL_OF_A_SLICE : wheeled + moved;
  const steps = Math.trunc(wheeled / WHEEL_OF_A_SLICE);
  wheeled -= steps * WHEEL_OF_A_SLICE;
  if (steps !== 0) showSlice(shownSlice().slice + steps);
}

const STEPS_OF_KEYS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

function panelKey(event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const step = STEPS_OF_KEYS[event.key];
  if (step && event.shiftKey) moveTo(state.x + (0.1 * step[1]) / state.zoom, state.y + (0.1 * step[0]) / state.zoom);
  else if (step) walkCells(step);
  else if (event.key in PAGES && shownSlice()) stepSlices(PAGES[event.key]);
  else if (event.key === '+' || event.key === '=') zoomBy(1.4);
  else if (event.key === '-') zoomBy(1 / 1.4);
  else if (event.key === '0') moveTo(0.5, 0.5, 1);
  else return;
  event.preventDefault();
}

function walkCells([down, right]) {
  const here = state.cell && data.grids[state.cell.grid].picture === state.picture ? state.cell : null;
  const index = here ? here.grid : data.grids.findIndex((grid) => grid.picture === state.picture);
  if (index < 0) return;
  const { columns } = shownGrid(index);
  const { rows: r, columns: c } = visible(index, data.methods[state.method].parts);
  const within = (value, [first, last]) => Math.min(last - 1, Math.max(first, value));
  const start = here ? here.index : Math.floor((r[0] + r[1]) / 2) * columns + Math.floor((c[0] + c[1]) / 2);
  const row = within(Math.floor(start / columns) + (here ? down : 0), r);
  const column = within((start % columns) + (here ? right : 0), c);
  update({ cell: { grid: index, index: row * columns + column } });
  say(cellText(primary(), { grid: index, index: row * columns + column }));
}

/** Value, share and rank of a cell under one word. */
function cellText(target, cell) {
  const shown = currentRow(target);
  if (shown === null) return 'no value';
  const grids = gridsOf(shown);
  const value = grids[cell.grid][cell.index];
  let [sum, larger, count] = [0, 0, 0];
  grids.forEach((cells) =>
    cells.forEach((other) => {
      sum += Math.abs(other);
      larger += Math.abs(other) > Math.abs(value);
      count += 1;
    }),
  );
  const what = data.methods[state.method].signs ? 'magnitude' : 'relevancy';
  const share = sum > 0 ? Math.abs(value) / sum : null;
  return `value ${number(value)} · ${percent(share)} of the ${what} in the picture${data.pictures.length > 1 ? 's' : ''} · rank ${larger + 1} of ${count}`;
}

function drawReadout() {
  const readout = byId('readout');
  if (!state.cell) {
    readout.textContent = data.pictures.length > 0 ? 'Point at the picture for the value of a cell.' : '';
    return;
  }
  const { columns } = shownGrid(state.cell.grid);
  const row = Math.floor(state.cell.index / columns) + 1;
  const place = `row ${row}, column ${(state.cell.index % columns) + 1}`;
  const targets = shownTargets();
  const name = (target) => (targets.length > 1 ? `${isolated(nameOf(target))}: ` : '');
  readout.textContent = targets.map((target) => `${name(target)}${place} · ${cellText(target, state.cell)}`).join('\n');
}
