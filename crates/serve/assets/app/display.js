// Controls of the display, slices of a series, and keys that work anywhere.

import { COLOURS } from './colours.js';
import { byId, fill, isolated, make, setText, visible } from './dom.js';
import { isSeries, oneAtATime, pictureName, scene, sharesOf, shownMaps } from './maps.js';
import { percent } from './numbers.js';
import { savePicture } from './export.js';
import { step } from './pointer.js';
import { showPicture, shownEntry, state, update, wholePicture, zoomBy } from './state.js';

const SVG = 'http://www.w3.org/2000/svg';

export function listenToDisplay() {
  fill(byId('colormap'), ...COLOURS.map((name) => make('option', '', name)));
  const on = (id, event, action) => byId(id).addEventListener(event, action);
  on('zoom-in', 'click', () => zoomBy(1.4));
  on('zoom-out', 'click', () => zoomBy(1 / 1.4));
  on('zoom-reset', 'click', wholePicture);
  on('original', 'click', () => update({ original: !state.original }));
  on('cells', 'click', () => update({ smooth: !state.smooth }));
  on('export', 'click', savePicture);
  on('opacity', 'input', (event) => update({ opacity: Number(event.target.value) }));
  on('colormap', 'change', (event) => update({ colormap: event.target.value }));
  on('scale', 'change', (event) => update({ common: event.target.value === 'common' }));
  on('method', 'change', (event) => update({ method: event.target.value || null, cell: null }));
  on('slice', 'input', (event) => showPicture(Number(event.target.value), true));
  byId('layout').querySelectorAll('button').forEach((element) => {
    element.addEventListener('click', () => update({ layout: element.dataset.layout }));
  });
  on('slice-bars', 'click', (event) => {
    const bar = event.target.closest('[data-slice]');
    if (bar) showPicture(Number(bar.dataset.slice), true);
  });
  listenToKeys();
}

const isTyping = (element) => element.matches('input:not([type="range"]):not([type="checkbox"]), textarea, select');

function listenToKeys() {
  addEventListener('keydown', (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || document.querySelector('dialog[open]')) return;
    if (event.key === 'Escape') {
      release();
      return;
    }
    if (isTyping(event.target)) return;
    if (event.key === 'o' || event.key === 'O') update({ original: true });
    else if (event.key === 'c' || event.key === 'C') update({ smooth: !state.smooth });
    else if (event.key === '[') step(-1);
    else if (event.key === ']') step(1);
    else if (event.key === '/') byId('prompt').focus();
    else return;
    event.preventDefault();
  });
  addEventListener('keyup', (event) => {
    if ((event.key === 'o' || event.key === 'O') && !isTyping(event.target)) update({ original: false });
  });
}

/** Stops pointing first, then lets go of the kept word. */
function release() {
  if (state.preview !== null && state.preview !== state.pinned) update({ preview: null });
  else update({ preview: null, pinned: null });
}

export function drawDisplay() {
  const pressed = (id, isOn) => byId(id).setAttribute('aria-pressed', String(isOn));
  pressed('original', state.original);
  pressed('cells', !state.smooth);
  setText(byId('opacity-value'), `${state.opacity} %`);
  byId('export').disabled = scene.pictures().every(({ image }) => !image);
  const several = scene.pictures().length > 1 && scene.pictures().length <= 6;
  byId('layout').hidden = !several;
  byId('layout').querySelectorAll('button').forEach((element) => {
    element.setAttribute('aria-pressed', String((element.dataset.layout === 'one') === oneAtATime()));
  });
  drawMethods();
  drawSlices();
}

/** A choice of maps, where the target has others. */
function drawMethods() {
  const methods = shownEntry()?.methods ?? [];
  const others = methods.filter(({ id }) => !id.startsWith('relevancy-'));
  byId('method-field').hidden = others.length === 0;
  const select = byId('method');
  const key = others.map(({ id }) => id).join();
  if (select.dataset.drawn !== key) {
    select.dataset.drawn = key;
    const byPatch = others.some(({ id }) => id === 'patches');
    const isPair = others.some(({ id }) => id === 'versus_a');
    const own = byPatch ? { id: 'tokens', name: 'relevancy by token' } : { id: '', name: isPair ? 'for the one rather than the other' : 'relevancy' };
    fill(select, ...[own, ...others].map(({ id, name }) => {
      const option = make('option', '', visible(name));
      option.value = id;
      return option;
    }));
  }
  select.value = state.method ?? (others.some(({ id }) => id === 'patches') ? 'patches' : '');
}

/** Bars of the share of each picture, and a slider through them. */
function drawSlices() {
  const isOn = oneAtATime();
  byId('slices').hidden = !isOn;
  if (!isOn) return;
  const pictures = scene.pictures();
  const picture = Math.min(state.picture, pictures.length - 1);
  const maps = shownMaps();
  const shares = maps ? sharesOf(maps) : pictures.map(() => 0);
  const what = isSeries() ? 'Slice' : 'Picture';
  setText(byId('slices-name'), visible(pictureName(picture)));
  const share = maps ? ` · ${percent(shares[picture])} of what is in the pictures` : '';
  setText(byId('slice-value'), `${what} ${picture + 1} of ${pictures.length}${share}`);
  const slider = byId('slice');
  slider.max = pictures.length - 1;
  slider.value = picture;
  slider.style.setProperty('--n', pictures.length);
  slider.setAttribute('aria-label', what);
  slider.setAttribute('aria-valuetext', `${what} ${picture + 1}, ${isolated(pictureName(picture))}${share}`);
  drawBars(shares, picture, what);
}

function drawBars(shares, picture, what) {
  const bars = byId('slice-bars');
  const largest = Math.max(0, ...shares);
  bars.setAttribute('viewBox', `0 0 ${shares.length} 1`);
  bars.setAttribute('aria-label', `The share of each ${what.toLowerCase()}`);
  const rect = (index, height, className) => {
    const element = document.createElementNS(SVG, 'rect');
    const attributes = { x: index + 0.08, y: 1 - height, width: 0.84, height, class: className };
    Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
    element.dataset.slice = index;
    return element;
  };
  fill(bars, ...shares.flatMap((share, index) => [
    rect(index, largest > 0 ? share / largest : 0, share === largest && share > 0 ? 'share top' : 'share'),
    rect(index, 1, index === picture ? 'hit here' : 'hit'),
  ]));
}
