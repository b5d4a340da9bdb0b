// The answer as it comes in: every word can be pointed at from the moment it stands there.

import { byId, button, fill, make, say, setText, visible, wrapped } from './dom.js';
import { about, duration, ordinal, percent, probability } from './numbers.js';
import { shownEntry, shownKey, state, update } from './state.js';
import { cut, unitsOfCharacters } from './words.js';

/** How long the pointer rests on a word before the word is put into explanation. */
const REST_MILLISECONDS = 140;

let drawn = { inquiry: null, text: '', parts: [] };
let resting = 0;

export function listenToAnswer() {
  const answer = byId('answer');
  answer.addEventListener('pointerover', (event) => {
    const word = event.target.closest('.word');
    if (word && event.pointerType !== 'touch') preview(word);
  });
  answer.addEventListener('pointerout', (event) => {
    if (event.target.closest('.word') && event.pointerType !== 'touch') leave();
  });
  answer.addEventListener('focusin', (event) => {
    const word = event.target.closest('.word');
    if (word) preview(word);
  });
  answer.addEventListener('focusout', leave);
  answer.addEventListener('click', (event) => {
    const word = event.target.closest('.word');
    if (word) choose(word, event.shiftKey);
  });
  answer.addEventListener('keydown', wordKey);
  answer.addEventListener('mousedown', (event) => { if (event.shiftKey) event.preventDefault(); }); // it would select text
}

function entryOf(word) {
  const start = Number(word.dataset.start);
  return state.current.part(start, start + Number(word.dataset.length), true);
}

/** Shows a word, and has it explained if the pointer stays. */
function preview(word) {
  const { current } = state;
  const entry = entryOf(word);
  update({ preview: entry.key, method: null });
  clearTimeout(resting);
  if (entry.state === 'idle') resting = setTimeout(() => current.wish(entryOf(word)), REST_MILLISECONDS);
}

function leave() {
  clearTimeout(resting);
  update({ preview: null });
}

/** Pins a word; with Shift, all from the pinned word to this one. */
function choose(word, toPhrase) {
  const { current, pinned } = state;
  rove(word);
  clearTimeout(resting);
  const entry = entryOf(word);
  const from = pinned !== null ? current.entries.get(pinned) : null;
  if ((toPhrase || state.extending) && from) {
    const [start, end] = [Math.min(from.start, entry.start), Math.max(from.end, entry.end)];
    pin(current.part(start, end, false));
    update({ extending: false });
  } else if (pinned === entry.key) {
    update({ pinned: null, last: entry.key });
  } else {
    pin(entry);
  }
}

/** Pins a target and has it explained if it is not. */
export function pin(entry) {
  update({ pinned: entry.key, last: entry.key, preview: null, method: null });
  state.current.wish(entry);
}

/** One word alone is a stop of the Tab key. */
function rove(word) {
  byId('answer').querySelectorAll('.word').forEach((other) => { other.tabIndex = other === word ? 0 : -1; });
}

function wordKey(event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const words = [...byId('answer').querySelectorAll('.word')];
  const index = words.indexOf(event.target);
  if (index < 0) return;
  const last = words.length - 1;
  const goals = { ArrowRight: index + 1, ArrowDown: index + 1, ArrowLeft: index - 1, ArrowUp: index - 1, Home: 0, End: last };
  if (event.key in goals) {
    const goal = words[Math.min(last, Math.max(0, goals[event.key]))];
    rove(goal);
    goal.focus({ preventScroll: true });
    goal.scrollIntoView({ block: 'nearest' });
    say(statusOf(entryOf(goal)));
  } else if (event.key === 'Enter' || event.key === ' ') {
    choose(event.target, event.shiftKey);
  } else {
    return;
  }
  event.preventDefault();
}

/** In one line, what is known of a target. */
export function statusOf(entry) {
  const { current } = state;
  if (entry.state === 'done') {
    const { image_share: share, probability: p } = entry.row;
    const where = current.pictures.length > 1 ? 'the pictures' : 'the picture';
    const parts = [];
    if (share !== null) parts.push(`${percent(share)} of all relevancy is in ${where}`);
    if (p !== null) parts.push(`probability ${probability(p)}`);
    return parts.join(' · ');
  }
  if (entry.state === 'failed') return `No map: ${visible(entry.problem.message)}`;
  if (entry.state === 'queued') return placeText(entry.job);
  if (entry.state === 'running' || entry.state === 'posting') return runningText(entry.job);
  if (entry.state !== 'wanted') return current.isAnswering ? 'Rest here, and it is explained first.' : 'Not explained yet: rest here, or press Enter.';
  return current.answer ? 'Explained next.' : 'Explained first, as soon as the answer is finished.';
}

export function placeText({ position, waits }) {
  if (position === null || position === undefined) return 'Waits in the queue.';
  const place = position === 0 ? 'Next in the queue' : `${ordinal(position + 1)} in the queue`;
  return `${place}${Number.isFinite(waits) ? `, ${about(waits)}` : ''}.`;
}

const STEPS = {
  reading: 'Reading the pictures', looking: 'Looking at the pictures', answering: 'Answering', explaining: 'Explaining',
  reliance: 'Taking the picture away', certificate: 'Taking cells away', drawing: 'Drawing',
};

export function runningText({ progress }) {
  if (!progress) return 'Explaining …';
  const step = STEPS[progress.step] ?? 'Working';
  const of = progress.total > 1 ? ` ${Math.min(progress.done + 1, progress.total)} of ${progress.total}` : '';
  const left = Number.isFinite(progress.seconds_left) ? `, ${about(progress.seconds_left)} left` : '';
  return `${step}${of}${left} …`;
}

export function drawAnswer() {
  const { current } = state;
  byId('answer-card').hidden = current === null;
  if (!current) {
    drawn = { inquiry: null, text: '', parts: [] };
    byId('answer').replaceChildren();
    return;
  }
  writeText(current);
  drawQuestion(current);
  drawChips(current);
  drawMarks(current);
  drawStatus(current);
  const trace = current.answer?.trace ?? '';
  byId('trace').hidden = trace === '';
  setText(byId('trace-text'), visible(trace));
}

/** Text only grows: what stands there stays the same element, so that pointer and focus stay where they are. */
function writeText(current) {
  if (drawn.inquiry !== current || !current.text.startsWith(drawn.text)) {
    byId('answer').replaceChildren();
    drawn = { inquiry: current, text: '', parts: [] };
  }
  if (drawn.text === current.text) return;
  // The last word may go on: from there everything is cut anew.
  const last = drawn.parts.findLast((part) => part.isWord) ?? { start: 0 };
  const kept = drawn.parts.filter((part) => part.start < last.start);
  const tail = cut(current.text.slice(last.start)).map((part) => ({ ...part, start: part.start + last.start }));
  const old = drawn.parts.slice(kept.length);
  tail.forEach((part, index) => place(part, index === 0 && old[0]?.isWord && part.isWord ? old.shift() : null));
  old.forEach(({ node }) => node.remove());
  drawn = { inquiry: current, text: current.text, parts: [...kept, ...tail] };
  const answer = byId('answer');
  if (!answer.querySelector('.word[tabindex="0"]')) answer.querySelector('.word')?.setAttribute('tabindex', '0');
}

/** Puts a part behind the others, in the element of an earlier form of it where there is one. */
function place(part, earlier) {
  part.node = earlier ? earlier.node : part.isWord ? wordElement(part) : document.createTextNode('');
  if (part.isWord) part.node.dataset.length = part.text.length;
  part.node.textContent = visible(part.text);
  if (!earlier) byId('answer').append(part.node);
}

function wordElement(part) {
  const word = make('span', 'word');
  word.dataset.start = part.start;
  word.setAttribute('role', 'button');
  word.tabIndex = -1;
  return word;
}

/** The question, cut into its tokens once they are known, so that they can be shaded. */
function drawQuestion(current) {
  const place = byId('question');
  const tokens = questionTokens(current);
  const key = `${current.number} ${tokens ? 'tokens' : 'text'}`;
  if (place.dataset.drawn !== key) {
    place.dataset.drawn = key;
    const { prompt } = current.question;
    if (!tokens) setText(place, visible(prompt));
    else fill(place, ...tokens.map(({ text, position }) => {
      if (position === null) return document.createTextNode(visible(text));
      const token = make('span', 'token', visible(text));
      token.dataset.position = position;
      return token;
    }));
  }
}

/** The prompt as pieces, those that are tokens with their position; null where it is not known or the tokens do not write it. */
function questionTokens(current) {
  if (!current.tokens) return null;
  if (current.questionPieces !== undefined) return current.questionPieces;
  const { prompt } = current.question;
  const of = [...current.tokens.values()].filter(({ kind }) => kind === 'prompt').sort((a, b) => a.position - b.position);
  const whole = of.map(({ text }) => text).join('');
  const wanted = prompt.trim();
  const at = whole.lastIndexOf(wanted);
  current.questionPieces = null;
  if (at < 0) return null;
  let unit = 0;
  current.questionPieces = of.flatMap(({ text, position }) => {
    const [from, to] = [Math.max(unit, at), Math.min(unit + text.length, at + wanted.length)];
    const piece = from < to ? [{ text: whole.slice(from, to), position }] : [];
    unit += text.length;
    return piece;
  });
  return current.questionPieces;
}

/** Targets that are no single word: phrases, words against others, the whole answer. */
function drawChips(current) {
  const entries = [...current.entries.values()].filter((entry) => entry.kind !== 'part' || !entry.isWord);
  const place = byId('chips');
  const key = [current.number, ...entries.map((entry) => entry.key)].join('\n');
  if (place.dataset.drawn !== key) {
    place.dataset.drawn = key;
    fill(place, ...entries.map((entry) => {
      const chip = button(current.nameOf(entry), 'chip word', () => pin(entry));
      chip.dataset.key = entry.key;
      return chip;
    }));
  }
  place.querySelectorAll('.chip').forEach((chip) => {
    const entry = current.entries.get(chip.dataset.key);
    chip.setAttribute('aria-pressed', String(state.pinned === entry.key));
    chip.classList.toggle('pinned', shownKey() === entry.key);
    chip.classList.toggle('waiting', !['done', 'failed'].includes(entry.state));
  });
}

/** Shades and marks of words. While a target is shown: what it relied on; else how much of each word lies in the picture. */
function drawMarks(current) {
  const entry = shownEntry();
  const shade = entry?.row ? reliedOn(current, entry) : inPicture(current);
  const inPhrase = (part) => entry && part.start >= entry.start && part.start + part.text.length <= entry.end;
  drawn.parts.filter((part) => part.isWord).forEach((part) => {
    const own = current.entries.get(`w${part.start}`);
    const { node } = part;
    const isShown = Boolean(inPhrase(part));
    node.style.setProperty('--share', isShown ? 0 : shade.of(part));
    node.classList.toggle('shown', isShown);
    node.classList.toggle('in-phrase', isShown && !entry.isWord);
    node.classList.toggle('pinned', isShown && state.pinned === entry.key && state.preview === null);
    node.classList.toggle('explained', own?.state === 'done');
    node.classList.toggle('failed', own?.state === 'failed');
    node.classList.toggle('waiting', ['wanted', 'posting', 'queued', 'running'].includes(own?.state));
    node.setAttribute('aria-pressed', String(state.pinned === `w${part.start}`));
    const title = own ? statusOf(own) : '';
    if (node.title !== title) node.title = title;
  });
  byId('question').querySelectorAll('.token').forEach((token) => {
    token.style.setProperty('--share', shade.ofToken(Number(token.dataset.position)));
  });
  setText(byId('legend'), shade.legend);
  byId('legend-row').classList.toggle('unlit', shade.legend === '');
}

/** Shades by the relevancy of text for one target. */
function reliedOn(current, { row, key }) {
  const values = new Map(row.text_positions.map((position, i) => [position, row.text_relevancy[i]]));
  const sums = current.answer ? wordSums(current, values) : new Map();
  const question = (questionTokens(current) ?? []).map(({ position }) => values.get(position) ?? 0);
  const largest = Math.max(0, ...sums.values(), ...question);
  const part = (value) => (largest > 0 ? (value ?? 0) / largest : 0);
  const name = wrapped(current.nameOf(current.entries.get(key)));
  return {
    of: ({ start }) => part(sums.get(start)),
    ofToken: (position) => part(values.get(position)),
    legend: `Shade: how much ${name} relied on each word.`,
  };
}

/** The sum of the tokens of each word, by its start. */
function wordSums(current, values) {
  current.units ??= unitsOfCharacters(current.text);
  const words = drawn.parts.filter((part) => part.isWord);
  const sums = new Map();
  current.answer.tokens.forEach(({ position, span }) => {
    const value = values.get(position);
    if (!value || !span) return;
    const [start, end] = span.map((character) => current.units[character]);
    const word = words.find((part) => part.start < end && start < part.start + part.text.length);
    if (word) sums.set(word.start, (sums.get(word.start) ?? 0) + value);
  });
  return sums;
}

/** Shades by the part of each word's relevancy that lies in the pictures. */
function inPicture(current) {
  const shares = drawn.parts.map(({ start }) => current.entries.get(`w${start}`)?.row?.image_share ?? 0);
  const largest = Math.max(0, ...shares);
  const where = current.pictures.length > 1 ? 'pictures' : 'picture';
  return {
    of: ({ start }) => (largest > 0 ? (current.entries.get(`w${start}`)?.row?.image_share ?? 0) / largest : 0),
    ofToken: () => 0,
    legend: largest > 0 ? `Shade: how much of all relevancy lies in the ${where}, 0 to ${percent(largest)}.` : '',
  };
}

/** What goes on, in one line of a height that does not change. */
function drawStatus(current) {
  const { text, part, tone } = whatGoesOn(current);
  setText(byId('status-text'), text);
  byId('status').className = `status ${tone}`;
  const bar = byId('status-bar');
  bar.classList.toggle('unseen-bar', part === null);
  if (Number.isFinite(part)) bar.value = part;
  else bar.removeAttribute('value');
  byId('answer-hint').hidden = current.state === 'failed';
  byId('whole').classList.toggle('unseen-bar', !current.answer);
  byId('stop').hidden = !current.isBusy;
  byId('resume').hidden = current.isBusy || !current.stopped || !current.answer || current.counts().done === current.counts().all;
  byId('retry').hidden = !(current.state === 'failed' || (current.state === 'cancelled' && !current.answer));
}

/** A sentence, a part of a bar (NaN: unknown; null: no bar) and a tone. */
function whatGoesOn(current) {
  const { progress } = current;
  if (current.state === 'failed') return { text: problemText(current.problem), part: null, tone: 'poor' };
  if (current.state === 'cancelled') return { text: 'Stopped before the answer was finished.', part: null, tone: 'mixed' };
  if (current.state === 'sending') return { text: 'Sending …', part: NaN, tone: '' };
  if (current.state === 'queued') return { text: placeText(current), part: NaN, tone: '' };
  if (current.isAnswering) {
    const part = progress?.total ? progress.done / progress.total : NaN;
    const left = Number.isFinite(progress?.seconds_left) ? `, ${about(progress.seconds_left)} left at most` : '';
    const step = STEPS[progress?.step] ?? 'Working';
    return { text: progress?.step === 'answering' ? `Answering: ${progress.done} tokens${left}` : `${step}${left} …`, part, tone: '' };
  }
  return explainingText(current);
}

/** Why an answer ends before its end. */
const STOPS = {
  max_new_tokens: 'The answer was cut off at the most tokens that were allowed.',
  'context full': 'The answer was cut off: the context of the model is full.',
};

function explainingText(current) {
  const { done, all } = current.counts();
  const jobs = [...current.jobs];
  const job = jobs.find((other) => other.urgent) ?? jobs.find((other) => !other.study) ?? jobs[0];
  if (job) {
    const name = job.entries.length === 1 ? `${wrapped(current.nameOf(job.entries[0]))}: ` : '';
    const what = job.state === 'queued' ? placeText(job) : runningText(job);
    const of = all > 0 ? `${done} of ${all} words explained · ` : '';
    return { text: `${of}${name}${what}`, part: all > 0 ? done / all : NaN, tone: '' };
  }
  if (current.full && !current.stopped) return { text: `The queue of the server is full: the rest is explained when there is room. ${done} of ${all} words explained.`, part: null, tone: 'mixed' };
  const failed = [...current.entries.values()].find((entry) => entry.state === 'failed');
  if (current.stopped && done < all) {
    const why = failed ? problemText(failed.problem) : 'Stopped.';
    return { text: `${why} ${done} of ${all} words are explained.`, part: null, tone: failed ? 'poor' : 'mixed' };
  }
  const text = all > 0 ? `${done} of ${all} words explained.` : 'Point at a word to have it explained.';
  const cut = STOPS[current.answer?.stop];
  return { text: cut ? `${text} ${cut}` : text, part: null, tone: cut ? 'mixed' : '' };
}

export function problemText(problem) {
  const wait = problem.retryAfter ? `Try again in ${duration(problem.retryAfter)}.` : '';
  const said = visible(problem.message).trim();
  return `${/[.!?…]$/.test(said) ? said : `${said}.`} ${wait}`.trim();
}
