// Panels: a heading, a picture with its map, a colour bar.

import { statusOf } from './answer.js';
import { byId, make, setText, visible, wrapped } from './dom.js';
import { drawScale, heat } from './heat.js';
import { oneAtATime, pictureName, scaleOf, scene, sharesOf, shownMaps, shownMethod, shownPictures } from './maps.js';
import { number, percent } from './numbers.js';
import { listenToPanel } from './pointer.js';
import { shownEntry, state, update } from './state.js';

const panels = [];

export function listenToViewer() {
  new ResizeObserver(() => update()).observe(byId('stages')); // sizes of canvases follow the window
}

function newPanel(number) {
  const name = make('bdi', 'stage-name');
  const share = make('span', 'stage-sub');
  const head = make('figcaption', 'stage-head', name, share);
  const canvas = make('canvas', 'view');
  canvas.tabIndex = 0;
  canvas.setAttribute('role', 'application');
  canvas.setAttribute('aria-roledescription', 'picture with map');
  const [low, high] = [make('bdi'), make('bdi')];
  const bar = make('canvas');
  Object.assign(bar, { width: 511, height: 1 });
  const foot = make('div', 'bar', low, bar, high);
  const note = make('p', 'stage-note');
  const figure = make('figure', 'stage', head, canvas, make('div', 'stage-foot', foot, note));
  byId('stages').append(figure);
  const panel = { number, figure, head, name, share, canvas, low, high, bar, foot, note, picture: 0, heat: null, key: null };
  listenToPanel(panel);
  return panel;
}

export function drawViewer() {
  const pictures = scene.pictures();
  const shown = shownPictures();
  // While a question is sent, its own pictures are not read yet; the stage keeps its place.
  byId('drop-zone').hidden = pictures.length > 0 || state.current !== null;
  byId('stage-wrap').hidden = !byId('drop-zone').hidden;
  drawTitle();
  while (panels.length < Math.max(1, shown.length)) panels.push(newPanel(panels.length));
  panels.forEach((panel, index) => {
    panel.figure.hidden = index > 0 && index >= shown.length;
    panel.picture = shown[index] ?? 0;
    if (!panel.figure.hidden) drawPanel(panel, pictures[panel.picture] ?? null);
  });
  byId('display').hidden = pictures.every(({ image }) => !image);
}

function drawPanel(panel, picture) {
  const maps = shownMaps();
  label(panel, maps);
  drawFoot(panel, picture, maps);
  const { canvas } = panel;
  panel.figure.classList.toggle('bare', !picture?.image);
  const ratio = picture ? picture.width / picture.height : 1;
  panel.figure.style.setProperty('--ratio', Math.min(2.2, Math.max(0.7, ratio || 1)));
  canvas.classList.toggle('zoomed', state.zoom > 1);
  const density = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.max(1, Math.round(side * density)));
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  refreshHeat(panel, picture, maps);
  paint(canvas.getContext('2d'), panel, picture, width, height);
  drawPointed(canvas.getContext('2d'), panel, picture, width, height);
}

/** Computes heat only when something that it depends on has changed. */
function refreshHeat(panel, picture, maps) {
  const here = maps && picture?.image ? maps.filter((map) => map.picture === panel.picture) : [];
  const scale = here.length > 0 ? scaleOf(maps) : null;
  const { opacity, smooth, colormap } = state;
  const key = [panel.picture, opacity, smooth, colormap, scale?.max];
  if (panel.maps === maps && panel.shown === picture?.image && panel.key === key.join()) return;
  Object.assign(panel, { maps, shown: picture?.image, key: key.join(), here });
  panel.heat = here.length > 0 ? heat(here, picture, scale, state) : null;
}

/** Where the picture lies in a canvas of this size: pixels of the canvas per pixel of the picture, and its box. */
export function geometry(picture, width, height) {
  const scale = Math.min(width / picture.width, height / picture.height) * state.zoom;
  const left = width / 2 - state.x * picture.width * scale;
  const top = height / 2 - state.y * picture.height * scale;
  return { scale, left, top, box: [left, top, picture.width * scale, picture.height * scale] };
}

/** Picture, heat and letters, without what is pointed at. */
export function paint(context, panel, picture, width, height) {
  context.fillStyle = '#000';
  context.fillRect(0, 0, width, height);
  if (!picture?.image) return;
  const { scale, box } = geometry(picture, width, height);
  context.imageSmoothingEnabled = scale < 3;
  context.imageSmoothingQuality = 'high';
  context.drawImage(picture.image, ...box);
  if (!state.original && panel.heat) {
    context.imageSmoothingEnabled = state.smooth;
    context.drawImage(panel.heat, ...box);
    if (!state.smooth) panel.here.forEach((map) => drawCellLines(context, map, geometry(picture, width, height)));
  }
  drawLetters(context, box, [width, height]);
}

const LETTERS = { pa: ['R', 'L'], ap: ['R', 'L'], flipped: ['L', 'R'] };

/** The patient's sides where an orientation was named: light tabs halfway along the sides, so that nobody takes them for letters of the film. */
function drawLetters(context, [left, top, width, height], [canvasWidth, canvasHeight]) {
  const letters = LETTERS[state.current?.question.options.explanation.orientation];
  if (!letters) return;
  const size = 12 * Math.max(1, Math.min(canvasWidth, canvasHeight) / 320);
  const [tab, tall] = [1.3 * size, 1.5 * size];
  const y = (Math.max(0, top) + Math.min(canvasHeight, top + height) - tall) / 2;
  const places = [Math.max(0, left), Math.min(canvasWidth, left + width) - tab];
  context.font = `700 ${size}px system-ui, sans-serif`;
  context.textAlign = 'center';
  letters.forEach((letter, side) => {
    context.fillStyle = 'rgb(240 243 246 / 0.92)';
    context.fillRect(places[side], y, tab, tall);
    context.fillStyle = '#10161b';
    context.fillText(letter, places[side] + tab / 2, y + tall / 2 + 0.36 * size);
  });
}

/** The box of a cell in pixels of the canvas. */
function cellBox(map, row, column, { scale, left, top }) {
  const [x, y, width, height] = map.region;
  const [w, h] = [width / map.columns, height / map.rows];
  return [left + (x + column * w) * scale, top + (y + row * h) * scale, w * scale, h * scale];
}

function drawCellLines(context, map, place) {
  const [x, y, w, h] = cellBox(map, 0, 0, place);
  if (Math.min(w, h) < 6) return; // lines would hide what they part
  context.save();
  context.beginPath();
  context.rect(...place.box);
  context.clip();
  context.beginPath();
  for (let column = 0; column <= map.columns; column += 1) {
    context.moveTo(x + column * w, y);
    context.lineTo(x + column * w, y + map.rows * h);
  }
  for (let row = 0; row <= map.rows; row += 1) {
    context.moveTo(x, y + row * h);
    context.lineTo(x + map.columns * w, y + row * h);
  }
  context.lineWidth = 1;
  context.strokeStyle = 'rgb(255 255 255 / 0.18)';
  context.stroke();
  context.restore();
}

function drawPointed(context, panel, picture, width, height) {
  const { cell } = state;
  if (!cell || cell.picture !== panel.picture || !picture?.image || !panel.here?.includes(cell.map)) return;
  const box = cellBox(cell.map, cell.row, cell.column, geometry(picture, width, height));
  context.lineWidth = 3;
  context.strokeStyle = 'rgb(0 0 0 / 0.7)';
  context.strokeRect(...box);
  context.lineWidth = 1.5;
  context.strokeStyle = '#fff';
  context.strokeRect(...box);
}

/** The word that is shown stands above all pictures; before there is one, the name of the picture. */
function drawTitle() {
  const entry = shownEntry();
  const method = entry ? shownMethod(entry) : null;
  const pictures = scene.pictures();
  setText(byId('stage-word'), entry ? wordOf(entry) : pictures.length === 1 ? visible(pictureName(0)) : '');
  setText(byId('stage-sub'), !entry ? '' : method && method.id !== 'patches' ? visible(method.name) : statusOf(entry));
  byId('stage-sub').title = byId('stage-sub').textContent;
}

const wordOf = (entry) => state.current.nameOf(entry).trim();

/** Where there are several pictures, each panel bears its picture's name and share. */
function label(panel, maps) {
  const entry = shownEntry();
  const name = visible(pictureName(panel.picture));
  panel.head.hidden = scene.pictures().length < 2 || oneAtATime();
  setText(panel.name, name);
  setText(panel.share, maps ? `${percent(sharesOf(maps)[panel.picture])} of what is in the pictures` : '');
  const what = maps ? `with the map of ${wrapped(wordOf(entry))}. Arrow keys move between cells.` : 'without a map.';
  panel.canvas.setAttribute('aria-label', `${name} ${what}`);
}

function drawFoot(panel, picture, maps) {
  const here = maps?.some((map) => map.picture === panel.picture) ?? false;
  const scale = here ? scaleOf(maps) : { max: 0 };
  setText(panel.note, noteOf(picture, maps, here, scale));
  panel.foot.classList.toggle('nothing', !(scale.max > 0));
  if (!(scale.max > 0)) return;
  const key = `${scale.signed} ${state.colormap}`;
  if (panel.barKey !== key) drawScale(panel.bar, scale.signed, state.colormap);
  panel.barKey = key;
  const of = state.common && state.method === null ? ' (shared by all words)' : '';
  setText(panel.low, scale.signed ? `−${number(scale.max)}` : '0');
  setText(panel.high, `${scale.signed ? '+' : ''}${number(scale.max)}${of}`);
}

function noteOf(picture, maps, here, { max }) {
  if (!picture) return '';
  if (picture.unreadable) return state.current?.isAnswering ? 'The server reads it …' : visible(picture.unreadable);
  if (!picture.image) return 'The picture is on its way …';
  if (maps && !here) return 'There is no map over this picture.';
  if (maps && !(max > 0)) return 'There is no relevancy in this picture.';
  return '';
}

/** The panel of a picture, for export. */
export function shownPanels() {
  return panels.filter(({ figure }) => !figure.hidden);
}
