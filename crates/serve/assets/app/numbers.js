// Numbers for people, as the report writes them.

const SUPERSCRIPTS = '⁰¹²³⁴⁵⁶⁷⁸⁹';

function superscript(exponent) {
  const digits = [...String(Math.abs(exponent))].map((digit) => SUPERSCRIPTS[digit]).join('');
  return (exponent < 0 ? '⁻\u2060' : '') + digits;
}

/** Three digits, with a power of ten where the number would be long. */
export function number(value) {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e-3 && size < 1e4) return value.toPrecision(3).replace('-', '−');
  const exponent = Math.floor(Math.log10(size));
  const digits = (value / 10 ** exponent).toFixed(2).replace('-', '−');
  return `${digits}\u2060×\u206010\u2060${superscript(exponent)}`;
}

/** A part in percent. */
export function percent(part) {
  if (part === null || part === undefined) return '–';
  const value = 100 * part;
  if (value !== 0 && value < 0.01) return '< 0.01\u00a0%';
  return `${value.toFixed(value >= 0.1 || value === 0 ? 1 : 2)}\u00a0%`;
}

export function probability(value) {
  return value < 0.001 ? number(value) : value.toFixed(3);
}

/** With its sign. */
export function signed(value, digits = 2) {
  const text = Math.abs(value).toFixed(digits);
  return Number(text) === 0 ? text : `${value < 0 ? '−' : '+'}${text}`;
}

export function bytes(count) {
  const units = ['bytes', 'kB', 'MB', 'GB'];
  const unit = Math.min(3, Math.floor(Math.log10(Math.max(1, count)) / 3));
  const value = count / 1000 ** unit;
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)}\u00a0${units[unit]}`;
}

/** An estimate: "about 4 s". */
export function about(seconds) {
  return seconds < 1 ? 'under a second' : `about ${duration(seconds)}`;
}

/** A time for people: nobody needs a fraction of a second of an estimate. */
export function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)}\u00a0s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)}\u00a0min`;
  return `${(seconds / 3600).toFixed(1)}\u00a0h`;
}

const ORDINALS = { one: 'st', two: 'nd', few: 'rd', other: 'th' };
const plural = new Intl.PluralRules('en', { type: 'ordinal' });

export function ordinal(n) {
  return `${n}${ORDINALS[plural.select(n)]}`;
}

export function count(n, what) {
  return `${n} ${what}${n === 1 ? '' : 's'}`;
}
