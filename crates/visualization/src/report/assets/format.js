// Numbers for people, and elements without markup: text only ever becomes text.

const SUPERSCRIPTS = '⁰¹²³⁴⁵⁶⁷⁸⁹';

function superscript(exponent) {
  const digits = [...String(Math.abs(exponent))].map((digit) => SUPERSCRIPTS[digit]).join('');
  return (exponent < 0 ? '⁻\u2060' : '') + digits;
}

/** Three digits, with a power of ten where the number would be long. A number never breaks over lines. */
function number(value) {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e-3 && size < 1e4) return value.toPrecision(3).replace('-', '−');
  const exponent = Math.floor(Math.log10(size));
  const digits = (value / 10 ** exponent).toFixed(2).replace('-', '−');
  return `${digits}\u2060×\u206010\u2060${superscript(exponent)}`;
}

/** A part in percent, with one decimal as in the figures and the terminal; null: not known. */
function percent(part) {
  if (part === null) return '–';
  const value = 100 * part;
  if (value !== 0 && value < 0.01) return '< 0.01\u00a0%';
  return `${value.toFixed(value >= 0.1 || value === 0 ? 1 : 2)}\u00a0%`;
}

function probability(value) {
  return value < 0.001 ? number(value) : value.toFixed(3);
}

/** Letters and digits of a text for the name of a file. */
function slug(text) {
  const kept = text.normalize('NFKD').toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-+|-+$/g, '');
  return [...kept].slice(0, 40).join('') || 'map';
}

function byId(id) {
  return document.getElementById(id);
}

/** A new element with a class and children; strings become text. */
function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** A name of others inside our own text, without influence on its direction. */
function isolated(text) {
  return `\u2068${text}\u2069`;
}

function meter(part, second) {
  const fill = make('i');
  fill.style.setProperty('--part', Number.isFinite(part) ? Math.min(1, part) : 0);
  const bar = make('span', second ? 'meter two' : 'meter', fill);
  bar.setAttribute('aria-hidden', 'true');
  return bar;
}

/** Tells screen readers. */
function say(text) {
  byId('live').textContent = text;
}
