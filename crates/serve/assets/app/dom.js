// Elements without markup: text of others only ever becomes text.

export const byId = (id) => document.getElementById(id);

/** A new element with a class and children; strings become text, null is left out. */
export function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** A button that does something and sends no form. */
export function button(text, className, action) {
  const element = make('button', className, text);
  element.type = 'button';
  element.addEventListener('click', action);
  return element;
}

/** A link that looks like a button. */
export function link(text, href, className = 'button') {
  const element = make('a', className, text);
  element.href = href;
  return element;
}

/** Replaces the children of an element. */
export function fill(element, ...children) {
  element.replaceChildren(...children.filter((child) => child !== null));
}

/** Sets text only where it differs, so that a selection or a screen reader is not disturbed. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A name of others inside our own text, without influence on its direction. */
export function isolated(text) {
  return wrapped(visible(text));
}

/** The same of a text in which nothing unseen is left. */
export function wrapped(text) {
  return `\u2068${text}\u2069`;
}

// Control characters but line ends and tabs, overrides and isolates of direction, and what is no character.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\ufffe\uffff]/g;

/** Names characters that are not seen but change how the rest is read, as the report does. */
export function visible(text) {
  return text.replace(UNSEEN, (c) => `⟨U+${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}⟩`);
}

/** A bar that is filled to a part of its length. */
export function meter(part) {
  const filled = make('i');
  filled.style.setProperty('--part', Number.isFinite(part) ? Math.min(1, Math.max(0, part)) : 0);
  const bar = make('span', 'meter', filled);
  bar.setAttribute('aria-hidden', 'true');
  return bar;
}

/** A list of names and values; what has no value is left out. */
export function facts(entries) {
  const list = make('dl', 'facts');
  entries.filter(([, value]) => value !== null && value !== undefined).forEach(([name, value]) => {
    list.append(make('div', '', make('dt', '', name), make('dd', '', value)));
  });
  return list;
}

let spoken = 0;

/** Tells screen readers. Two regions take turns, so that the same sentence is said twice when it is true twice. */
export function say(text) {
  spoken += 1;
  byId(`live-${spoken % 2}`).textContent = text;
  byId(`live-${(spoken + 1) % 2}`).textContent = '';
}

/** Saves bytes as a file of this name. */
export function save(blob, name) {
  const anchor = link('', URL.createObjectURL(blob), '');
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), 60000);
}
