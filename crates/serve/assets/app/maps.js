// Which maps are shown over which pictures, and on what scale.

import { isSigned, largestOf } from './heat.js';
import { state, shownEntry } from './state.js';

/** The pictures that are shown: those of the question, or those that are chosen for the next one. */
export const scene = {
  /** Pictures that are chosen, as far as the browser can show them; `main.js` puts the composer's function here. */
  draft: () => [],
  pictures() {
    if (!state.current) return scene.draft();
    return state.current.pictures.length > 0 ? state.current.pictures : scene.draft(state.current.question.sources);
  },
};

/** The map that the reader chose beside the relevancy by token; patches without being asked, since they were asked for. */
export function shownMethod(entry) {
  if (state.method === 'tokens') return null;
  return entry.methods?.find(({ id }) => id === (state.method ?? 'patches')) ?? null;
}

/** The maps of the target that is shown; null where there are none yet. */
export function shownMaps() {
  const entry = shownEntry();
  if (!entry?.row) return null;
  return shownMethod(entry)?.maps ?? entry.row.maps;
}

/** Largest value of any relevancy map of the question. */
function commonLargest() {
  const rows = [...state.current.entries.values()].filter(({ row }) => row).map(({ row }) => row.maps);
  return Math.max(0, ...rows.map((maps) => ownScale(maps).max));
}

/** The end of the scale, and whether it has two. */
export function scaleOf(maps) {
  const common = state.common && state.method === null;
  return { max: common ? commonLargest() : ownScale(maps).max, signed: ownScale(maps).signed };
}

/** Maps do not change, and are drawn often. */
const ownScales = new WeakMap();

function ownScale(maps) {
  if (!ownScales.has(maps)) ownScales.set(maps, { max: largestOf(maps, scene.pictures()), signed: isSigned(maps) });
  return ownScales.get(maps);
}

/** The part of a target's relevancy in the pictures that lies in each of them. */
export function sharesOf(maps) {
  const sums = scene.pictures().map((_, index) =>
    maps.filter((map) => map.picture === index).reduce((sum, map) => map.values.reduce((a, b) => a + Math.abs(b), sum), 0));
  const all = sums.reduce((a, b) => a + b, 0);
  return sums.map((sum) => (all > 0 ? sum / all : 0));
}

/** Whether several pictures are shown one at a time: slices of a series, or more than have room beside each other. */
export function oneAtATime() {
  const pictures = scene.pictures();
  if (pictures.length < 2) return false;
  const chosen = state.layout ?? (pictures.length > 3 || isSeries() ? 'one' : 'side');
  return chosen === 'one';
}

/** Whether the pictures came as slices of one series. */
export function isSeries() {
  const sources = state.current ? state.current.question.sources : [];
  return sources.length === 1 && scene.pictures().length > 1;
}

/** Indices of the pictures that are shown. */
export function shownPictures() {
  const all = scene.pictures().map((_, index) => index);
  return oneAtATime() ? [Math.min(state.picture, all.length - 1)] : all.slice(0, 6);
}

export function pictureName(index) {
  const picture = scene.pictures()[index];
  return picture?.name || `picture ${index + 1}`;
}
