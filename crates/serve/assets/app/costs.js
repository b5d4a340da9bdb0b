// What things cost on this machine, as far as it was measured: by the server, and by this page.

import { about } from './numbers.js';
import { state } from './state.js';

const measured = new Map();

/** Remembers what one thing took: the last time counts. */
export function measure(name, seconds) {
  measured.set(name, seconds);
}

/** Seconds of one thing; null where nobody measured it. */
export function secondsFor(name) {
  const said = state.model?.seconds?.[name.split(' ')[0]];
  return measured.get(name) ?? (Number.isFinite(said) ? said : null);
}

/** "about 4 s here", or that nobody knows yet. */
export function costText(name, times = 1) {
  const seconds = secondsFor(name);
  return seconds === null ? 'not measured here yet' : `${about(seconds * times)} here`;
}
