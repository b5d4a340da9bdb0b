// What the reader chose, and who redraws when it changes.

const state = {
  preview: null, // the word under pointer or focus
  pinned: null,
  second: null,
  last: 0, // what is shown when nothing is chosen
  compare: 'side',
  comparing: false, // the next click adds a second map, for screens without a shift key
  method: 0,
  layer: -1, // the result
  picture: 0,
  opacity: 75,
  threshold: 0,
  colormap: data.colormap,
  smooth: true,
  common: false,
  contours: data.contours, // quantiles of the cells
  marks: true, // letters and outlines
  template: data.showsTemplate,
  original: false,
  zoom: 1,
  x: 0.5, // centre of the view, in parts of the picture
  y: 0.5,
  cell: null, // { grid, index } under pointer or cursor
  region: null,
  evidence: false, // whether what taking cells away says is open
  numbers: false, // and the numbers of its charts
};

const listeners = [];
let scheduled = false;

function onChange(listener) {
  listeners.push(listener);
}

/** Changes the state; everything is redrawn once before the next frame. */
function update(changes) {
  Object.assign(state, changes);
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    listeners.forEach((listener) => listener());
  });
}

/** The word that is shown alone or first. */
function primary() {
  if (state.second !== null) return state.pinned;
  return state.preview ?? state.pinned ?? state.last;
}

/** The words whose numbers are shown. */
function shownTargets() {
  return state.second === null ? [primary()] : [state.pinned, state.second];
}

/** One entry a panel. */
function shownPanels() {
  if (state.second === null) return [{ first: primary(), second: null }];
  if (state.compare === 'difference') return [{ first: state.pinned, second: state.second }];
  return [{ first: state.pinned, second: null }, { first: state.second, second: null }];
}

function currentRow(target) {
  return rowIndex(target, state.method, state.layer);
}

function pin(target) {
  const again = state.pinned === target && state.second === null;
  update({ pinned: again ? null : target, second: null, last: target, comparing: false });
}

/** Adds a second map; without a first one, this becomes the first. */
function addSecond(target) {
  const first = state.pinned ?? state.last;
  if (first === target) return update({ pinned: target, second: null });
  return update({ pinned: first, second: state.second === target ? null : target, comparing: false });
}

/** Takes the second map away, then the pin. */
function release() {
  if (state.comparing || state.second !== null) update({ second: null, comparing: false });
  else update({ pinned: null, preview: null });
}

/** The picture that has the largest part of a target; the first where none has any. */
function warmest(target) {
  const row = currentRow(target);
  const shares = data.pictures.map((_, picture) => pictureShare(row, picture) ?? 0);
  return Math.max(0, shares.indexOf(Math.max(...shares)));
}

/** From slice to slice of one series the view stays. */
function showPicture(picture) {
  if (!(picture >= 0 && picture < data.pictures.length)) return;
  const [from, to] = [sliceOf[state.picture], sliceOf[picture]];
  const stays = from && to && from.volume === to.volume;
  update(stays ? { picture, cell: sameCell(picture) } : { picture, zoom: 1, x: 0.5, y: 0.5, cell: null });
}

/** The next or previous picture, by key. */
function stepPicture(by) {
  showPicture(state.picture + by);
  if (shownSlice()) say(pictureName(state.picture));
}

function zoomBy(factor, x = state.x, y = state.y) {
  const zoom = Math.min(16, Math.max(1, state.zoom * factor));
  const by = state.zoom / zoom; // the point (x, y) stays where it is
  moveTo(x + (state.x - x) * by, y + (state.y - y) * by, zoom);
}

function moveTo(x, y, zoom = state.zoom) {
  const half = 0.5 / zoom;
  const within = (value) => Math.min(1 - half, Math.max(half, value));
  update({ zoom, x: within(x), y: within(y) });
}
