// Pointer and keys on a picture: cells, zoom, pan. All panels share one view.

import { byId, say, setText } from './dom.js';
import { eachVisible, visibleCells } from './heat.js';
import { oneAtATime, pictureName, scene, shownMaps } from './maps.js';
import { number, percent } from './numbers.js';
import { moveTo, showPicture, state, update, wholePicture, zoomBy } from './state.js';
import { geometry } from './viewer.js';

const pointers = new Map();

/** A point of the window in parts of the picture; null where there is no picture. */
function toPicture(panel, clientX, clientY) {
  const picture = scene.pictures()[panel.picture];
  if (!picture?.image) return null;
  const bounds = panel.canvas.getBoundingClientRect();
  const { box } = geometry(picture, bounds.width, bounds.height);
  return {
    x: (clientX - bounds.left - box[0]) / box[2],
    y: (clientY - bounds.top - box[1]) / box[3],
    perPixel: { x: 1 / box[2], y: 1 / box[3] },
  };
}

/** The cell at a point; of several maps the one with the largest value there. */
function cellAt(index, { x, y }) {
  const picture = scene.pictures()[index];
  if (x < 0 || y < 0 || x >= 1 || y >= 1) return null;
  let found = null;
  (shownMaps() ?? []).filter((map) => map.picture === index).forEach((map) => {
    const [x0, y0, width, height] = map.region;
    const column = Math.floor(((x * picture.width - x0) / width) * map.columns);
    const row = Math.floor(((y * picture.height - y0) / height) * map.rows);
    if (row < 0 || column < 0 || row >= map.rows || column >= map.columns) return;
    const value = Math.abs(map.values[row * map.columns + column]);
    if (!found || value > found.value) found = { picture: index, map, row, column, value };
  });
  return found;
}

export function listenToPanel(panel) {
  const { canvas } = panel;
  const point = (event) => {
    const at = toPicture(panel, event.clientX, event.clientY);
    update({ cell: at && cellAt(panel.picture, at) });
  };
  canvas.addEventListener('pointerdown', (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, event);
    point(event);
  });
  canvas.addEventListener('pointermove', (event) => {
    const before = pointers.get(event.pointerId);
    if (before) drag(panel, before, event);
    point(event);
  });
  const end = (event) => pointers.delete(event.pointerId);
  canvas.addEventListener('pointerup', end);
  canvas.addEventListener('pointercancel', end);
  canvas.addEventListener('pointerleave', (event) => {
    if (event.pointerType === 'mouse' && document.activeElement !== canvas) update({ cell: null });
  });
  canvas.addEventListener('dblclick', wholePicture);
  canvas.addEventListener('wheel', (event) => wheel(panel, event), { passive: false });
  canvas.addEventListener('keydown', (event) => panelKey(panel, event));
  canvas.addEventListener('blur', () => update({ cell: null }));
}

function drag(panel, before, event) {
  const others = [...pointers.values()].filter((other) => other.pointerId !== event.pointerId);
  const at = toPicture(panel, event.clientX, event.clientY);
  if (at && others.length > 0) pinch(panel, others[0], before, event);
  else if (at && state.zoom > 1) {
    moveTo(state.x - (event.clientX - before.clientX) * at.perPixel.x, state.y - (event.clientY - before.clientY) * at.perPixel.y);
  }
  pointers.set(event.pointerId, event);
}

function pinch(panel, still, before, now) {
  const distance = (event) => Math.hypot(event.clientX - still.clientX, event.clientY - still.clientY);
  if (distance(before) === 0) return;
  const middle = toPicture(panel, (now.clientX + still.clientX) / 2, (now.clientY + still.clientY) / 2);
  zoomBy(distance(now) / distance(before), middle.x, middle.y);
}

/** The page scrolls over a picture as anywhere; with Ctrl, or on a focused picture, it zooms; with Shift it goes through a series. */
function wheel(panel, event) {
  const isFocused = document.activeElement === panel.canvas;
  if (event.shiftKey && oneAtATime()) {
    event.preventDefault();
    step(Math.sign(event.deltaY || event.deltaX));
    return;
  }
  const at = toPicture(panel, event.clientX, event.clientY);
  if (!at || (!event.ctrlKey && !event.metaKey && !isFocused)) return;
  event.preventDefault();
  zoomBy(Math.exp(-Math.max(-60, Math.min(60, event.deltaY)) / 120), at.x, at.y);
}

/** The next or previous picture. */
export function step(by) {
  const picture = state.picture + by;
  if (!oneAtATime() || picture < 0 || picture >= scene.pictures().length) return;
  showPicture(picture, true);
  say(pictureName(picture));
}

const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

function panelKey(panel, event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const way = STEPS[event.key];
  if (way && event.shiftKey) moveTo(state.x + (0.1 * way[1]) / state.zoom, state.y + (0.1 * way[0]) / state.zoom);
  else if (way) walk(panel, way);
  else if (event.key === 'PageDown') step(1);
  else if (event.key === 'PageUp') step(-1);
  else if (event.key === '+' || event.key === '=') zoomBy(1.4);
  else if (event.key === '-') zoomBy(1 / 1.4);
  else if (event.key === '0') wholePicture();
  else return;
  event.preventDefault();
}

function walk(panel, [down, right]) {
  const maps = (shownMaps() ?? []).filter((map) => map.picture === panel.picture);
  if (maps.length === 0) return;
  const here = state.cell?.picture === panel.picture && maps.includes(state.cell.map) ? state.cell : null;
  const map = here ? here.map : maps[0];
  const { rows, columns } = visibleCells(map, scene.pictures()[panel.picture]);
  const within = (value, [first, end]) => Math.min(end - 1, Math.max(first, value));
  const row = within(here ? here.row + down : Math.floor((rows[0] + rows[1]) / 2), rows);
  const column = within(here ? here.column + right : Math.floor((columns[0] + columns[1]) / 2), columns);
  update({ cell: { picture: panel.picture, map, row, column } });
  say(cellText());
}

/** Place, value, share and rank of the cell that is pointed at. */
function cellText() {
  const { map, row, column } = state.cell;
  const value = map.values[row * map.columns + column];
  let [sum, larger, cells] = [0, 0, 0];
  const pictures = scene.pictures();
  (shownMaps() ?? []).forEach((other) => {
    const picture = pictures[other.picture];
    if (picture) eachVisible(other, picture, (cell) => {
      sum += Math.abs(cell);
      larger += Math.abs(cell) > Math.abs(value);
      cells += 1;
    });
  });
  const share = sum > 0 ? Math.abs(value) / sum : null;
  const where = pictures.length > 1 ? 'the pictures' : 'the picture';
  return `Row ${row + 1}, column ${column + 1} · value ${number(value)} · ${percent(share)} of what is in ${where} · rank ${larger + 1} of ${cells}`;
}

export function drawReadout() {
  const maps = shownMaps();
  const isThere = state.cell && maps?.includes(state.cell.map);
  setText(byId('readout'), isThere ? cellText() : maps ? 'Point at the picture for the value of a cell.' : '');
}
