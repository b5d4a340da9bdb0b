// What the reader sees and chose, and who redraws when it changes.

export const state = {
  model: null, // what GET /v1/model said
  inquiries: [], // questions of this session, the newest first
  current: null, // the one that is shown; null: a question that is not asked yet
  preview: null, // key of the target under pointer or focus
  pinned: null,
  last: null, // what is shown when nothing is pointed at
  extending: false, // the next word that is chosen ends a phrase
  method: null, // null: the relevancy; else the id of another method of the shown target
  picture: 0,
  layout: null, // 'side' or 'one'; null: as fits the number of pictures
  opacity: 75, // percent
  smooth: true,
  common: false, // one colour scale for all words
  colormap: 'inferno',
  original: false,
  zoom: 1,
  x: 0.5, // centre of the view, in parts of the picture
  y: 0.5,
  cell: null, // { picture, map, row, column } under pointer or cursor
};

const listeners = [];
let scheduled = false;

export function onChange(listener) {
  listeners.push(listener);
}

/** Changes the state; everything is redrawn once before the next frame. */
export function update(changes = {}) {
  Object.assign(state, changes);
  if (scheduled) return;
  scheduled = true;
  // A page in the background has no frames, and still ends its work.
  const next = document.hidden ? (draw) => setTimeout(draw, 50) : requestAnimationFrame;
  next(() => {
    scheduled = false;
    listeners.forEach((listener) => listener());
  });
}

/** The key of the target that is shown. */
export function shownKey() {
  return state.preview ?? state.pinned ?? state.last;
}

/** The target that is shown; null where there is none. */
export function shownEntry() {
  const key = shownKey();
  return state.current && key !== null ? (state.current.entries.get(key) ?? null) : null;
}

/** Another question, or none, is shown from now on. */
export function showInquiry(inquiry) {
  const last = inquiry ? inquiry.lastShown : null;
  update({ current: inquiry, preview: null, pinned: null, last, extending: false, method: null, picture: 0, layout: null, cell: null, ...WHOLE });
}

const WHOLE = { zoom: 1, x: 0.5, y: 0.5 };

/** What stays in view when another picture is shown: the whole picture. */
export function showPicture(picture, stays) {
  update(stays ? { picture, cell: null } : { picture, cell: null, ...WHOLE });
}

export function zoomBy(factor, x = state.x, y = state.y) {
  const zoom = Math.min(16, Math.max(1, state.zoom * factor));
  const by = state.zoom / zoom; // the point (x, y) stays where it is
  moveTo(x + (state.x - x) * by, y + (state.y - y) * by, zoom);
}

export function moveTo(x, y, zoom = state.zoom) {
  const half = 0.5 / zoom;
  const within = (value) => Math.min(1 - half, Math.max(half, value));
  update({ zoom, x: within(x), y: within(y) });
}

export function wholePicture() {
  update({ ...WHOLE });
}
