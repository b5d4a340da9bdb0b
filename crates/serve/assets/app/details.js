// What is known of the target that is shown: numbers, the words it relied on, regions.

import { pin, problemText, statusOf } from './answer.js';
import { byId, button, facts, fill, isolated, make, meter, setText, visible } from './dom.js';
import { oneAtATime, pictureName, scene, sharesOf } from './maps.js';
import { number, percent, probability, signed } from './numbers.js';
import { shownEntry, state, update } from './state.js';

/** Words of prompt and answer that a target relied on most. */
const N_STRONGEST = 6;

let drawn = '';

export function drawDetails() {
  const entry = shownEntry();
  // While the answer grows nothing stands below it that would move; the stage says what is to be said.
  const isOn = entry !== null && !state.current.isAnswering;
  byId('word-card').hidden = !isOn;
  if (!isOn) {
    drawn = '';
    return;
  }
  const { current } = state;
  setText(byId('word-heading'), entry.kind === 'part' && entry.isWord ? 'Word' : entry.kind === 'answer' ? 'Answer' : 'Phrase');
  const key = [current.number, entry.key, entry.state, statusOf(entry), current.text.length, current.tokens ? 1 : 0, oneAtATime(), entry.methodsProblem?.message, state.extending, Boolean(entry.job?.made), state.pinned === entry.key];
  if (drawn === key.join('\n')) return;
  drawn = key.join('\n');
  fill(byId('details'), head(entry), entry.row ? null : waiting(entry), ...(entry.row ? rowOf(current, entry) : []));
}

function head(entry) {
  const name = make('bdi', 'word-name', state.current.nameOf(entry).trim() || '(space)');
  const isKept = state.pinned === entry.key;
  const kept = isKept ? make('span', 'badge', 'kept') : null;
  // For screens without a Shift key.
  const extend = isKept && entry.kind === 'part' ? button('Extend to a phrase', '', () => update({ extending: !state.extending })) : null;
  extend?.setAttribute('aria-pressed', String(Boolean(state.extending)));
  const hint = extend && state.extending ? make('span', 'hint', 'Now choose the other end in the answer.') : null;
  return make('p', 'word-head', name, kept, extend, hint);
}

function waiting(entry) {
  if (entry.state !== 'failed') return make('p', 'hint waiting-text', statusOf(entry));
  const again = button('Try again', '', () => pin(entry));
  const phrases = entry.isContrast
    ? button('Compare as phrases instead', '', () => pin(state.current.against(entry, entry.against, false)))
    : null;
  return make('div', 'failed-box', make('p', 'problem', problemText(entry.problem)), make('p', 'row', again, phrases));
}

function rowOf(current, entry) {
  const { row } = entry;
  const several = scene.pictures().length > 1;
  const numbers = facts([
    ['Probability', row.probability === null ? null : probability(row.probability)],
    [several ? 'In the pictures' : 'In the picture', row.image_share === null ? 'it has none' : `${percent(row.image_share)} of all relevancy`],
    ['Set against', settingOf(current)],
    ['The model favours', favourText(current, entry)],
    ...(several && !oneAtATime() ? sharesOf(row.maps).map((share, index) => [visible(pictureName(index)), `${percent(share)} of what is in the pictures`]) : []),
  ]);
  const less = entry.methodsProblem ? [make('p', 'problem', problemText(entry.methodsProblem))] : [];
  // Notes come last: they come in after the map, and push nothing of it.
  return [numbers, ...less, ...strongest(current, row), ...regions(row), ...notes(entry.job?.made)];
}

/** Which of two phrases is more likely, where they were compared. */
function favourText(current, entry) {
  const ratio = entry.row.log_ratio;
  if (!Number.isFinite(ratio)) return null;
  const own = current.text.slice(entry.start, entry.end);
  const nats = Math.abs(ratio);
  return `${isolated(ratio >= 0 ? own : entry.against)} by ${signed(nats).replace('+', '')} nats, ${number(Math.exp(nats))} times as likely`;
}

function settingOf(current) {
  const entry = shownEntry();
  if (entry.against !== undefined) return isolated(entry.against);
  const { contrast } = current.question.options.explanation;
  return contrast ? isolated(contrast) : 'the words that could stand there';
}

/** Text of a token; null while it is not known. */
function textOf(current, position) {
  const token = current.tokens?.get(position) ?? current.answer?.tokens.find((other) => other.position === position);
  return token ? token.text : null;
}

/** Whether the chat template wrote a token. It stands between angle brackets, or before the question. */
function isTemplate(current, position, text) {
  if (current.answer.tokens.some((token) => token.position === position)) return false;
  const pieces = current.questionPieces;
  return pieces ? !pieces.some((piece) => piece.position === position) : /^\s*(<[^>]*>)?\s*$/.test(text);
}

function strongest(current, row) {
  const inPictures = row.maps.reduce((sum, map) => map.values.reduce((a, b) => a + Math.abs(b), sum), 0);
  const all = inPictures + row.text_relevancy.reduce((a, b) => a + Math.abs(b), 0);
  const known = row.text_positions.map((position, i) => ({ position, part: all > 0 ? row.text_relevancy[i] / all : 0, text: textOf(current, position) }));
  const named = known.filter(({ text }) => text !== null);
  const template = named.filter(({ position, text }) => isTemplate(current, position, text));
  const words = named.filter((token) => !template.includes(token) && token.text.trim() !== '').sort((a, b) => b.part - a.part).slice(0, N_STRONGEST);
  if (words.length === 0) return [];
  const largest = words[0].part;
  const items = words.map(({ text, part }) =>
    make('li', '', make('bdi', '', visible(text.trim())), meter(largest > 0 ? part / largest : 0), make('span', '', percent(part))));
  const sum = template.reduce((total, { part }) => total + part, 0);
  const hidden = template.length > 0 ? ` Not listed: the chat template, ${percent(sum)}.` : '';
  const hint = current.tokens ? `Percent of all relevancy, pictures included.${hidden}` : 'Words of the question follow.';
  return [make('h2', 'inner', 'Words it relied on'), make('ol', 'strongest', ...items), make('p', 'hint', hint)];
}

/** What the program says that a reader must know. */
function notes(run) {
  return run?.notes?.length > 0 ? [make('ul', 'notes', ...run.notes.map((note) => make('li', '', visible(note))))] : [];
}

function regions({ regions: found }) {
  const names = Object.entries(found ?? {}).sort((a, b) => b[1] - a[1]);
  if (names.length === 0) return [];
  const items = names.map(([name, share]) => make('li', '', make('bdi', '', visible(name)), meter(share), make('span', '', percent(share))));
  return [make('h2', 'inner', 'Regions'), make('ol', 'strongest', ...items), make('p', 'hint', 'Percent of the relevancy in the first picture. Regions may overlap.')];
}
