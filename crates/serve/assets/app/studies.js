// Questions about the map that is shown. Each says what it costs before it is asked, and what came of it in numbers.

import { pin, placeText, problemText, runningText } from './answer.js';
import { costText } from './costs.js';
import { byId, button, fill, isolated, make, say, setText, visible } from './dom.js';
import { heat, isSigned, largestOf } from './heat.js';
import { scene } from './maps.js';
import { readMethods } from './methods.js';
import { signed, percent } from './numbers.js';
import { Problem } from './server.js';
import { shownEntry, state, update } from './state.js';
import { occurrenceOf } from './words.js';

const BLANKS = { mean: 'an even picture', blur: 'a blurred picture', 'mean-embedding': 'its mean embedding', knockout: 'the picture hidden' };
const OPERATORS = { 'knock-out': 'hidden', 'mean-embedding': 'mean embedding', blur: 'blurred', road: 'filled in from around' };
const METHODS = ['raw-attention', 'gradient-attention', 'grad-cam', 'mean-cell', 'rollout'];

const STUDIES = {
  reliance: {
    ask: 'Does it depend on the picture?',
    cost: () => `The picture is replaced in four ways, which takes four runs of the model, two of them with its vision tower: ${costText('reliance')}.`,
    options: () => ({ reliance: ['mean', 'blur', 'mean-embedding', 'knockout'] }),
    isThere: (row) => row.depends_on_picture !== undefined && row.depends_on_picture !== null,
    result: relianceResult,
  },
  certificate: {
    ask: 'Certify this map',
    choices: [['knock-out', 'cells hidden: the cheapest'], ['mean-embedding', 'cells as the mean cell'], ['all', 'all four ways'], ['full', 'all, stability and randomisation']],
    cost: (choice) => `Cells are taken away in the order of the map and of 19 controls: some 340 runs of the model by ${choice === 'knock-out' || choice === 'mean-embedding' ? 'this way' : 'each way'}, ${costText(`certificate ${choice}`)}.`,
    options: (choice) => ({ certificate: choice === 'all' ? ['knock-out', 'mean-embedding', 'blur', 'road'] : [choice] }),
    isThere: (row) => row.certificate?.length > 0,
    result: certificateResult,
  },
  methods: {
    ask: 'Compare methods',
    cost: () => `The same word by ${METHODS.length} other methods, from one more sweep: ${costText('methods')}.`,
    options: () => ({ method: METHODS }),
    isThere: () => false,
    result: methodsResult,
  },
};

const choices = new Map();
let drawn = '';

export function drawStudies() {
  const entry = shownEntry();
  const isOn = entry?.state === 'done' && entry.row.kind !== 'missing';
  byId('questions-card').hidden = !isOn;
  if (!isOn) {
    drawn = '';
    return;
  }
  const key = `${state.current.number} ${entry.key}`;
  if (drawn !== key) {
    drawn = key;
    fill(byId('studies'), ...Object.keys(STUDIES).map((name) => studyRow(name)), againstRow(entry));
  }
  Object.keys(STUDIES).forEach((name) => drawStudy(name, entry));
}

function studyRow(name) {
  const study = STUDIES[name];
  const ask = button(study.ask, 'ask-study', () => start(name));
  const head = make('div', 'row', ask);
  if (study.choices) {
    const select = make('select', '', ...study.choices.map(([value, text]) => {
      const option = make('option', '', text);
      option.value = value;
      return option;
    }));
    select.setAttribute('aria-label', 'How cells are taken away');
    select.value = choices.get(name) ?? study.choices[0][0];
    select.addEventListener('change', () => { choices.set(name, select.value); update(); });
    head.append(select);
  }
  const row = make('section', 'study', head, make('p', 'hint cost'), make('div', 'study-result'));
  row.dataset.study = name;
  return row;
}

const choiceOf = (name) => choices.get(name) ?? STUDIES[name].choices?.[0][0] ?? '';

async function start(name) {
  const { current } = state;
  const entry = shownEntry();
  if (!entry) return;
  if (state.pinned !== entry.key) update({ pinned: entry.key, last: entry.key });
  const choice = choiceOf(name);
  const job = await current.study(entry, name, STUDIES[name].options(choice), choice ? `${name} ${choice}` : name);
  if (job.problem || job.cancelled) return;
  entry.results = { ...entry.results, [name]: { row: job.rows.get(0) ?? entry.row, choice } };
  if (name === 'methods') {
    try {
      [entry.methods] = await readMethods(job);
    } catch (error) {
      job.problem = Problem.of(error);
    }
  }
  say(`${STUDIES[name].ask} ${byId('studies').querySelector(`[data-study="${name}"] .verdict`)?.textContent ?? 'Ready.'}`);
  update();
}

function drawStudy(name, entry) {
  const row = byId('studies').querySelector(`[data-study="${name}"]`);
  const job = entry.studies?.[name];
  const isRunning = job && state.current.jobs.has(job);
  const ask = row.querySelector('.ask-study');
  ask.disabled = Boolean(isRunning);
  const found = entry.results?.[name]?.row ?? (STUDIES[name].isThere(entry.row) ? entry.row : null);
  setText(row.querySelector('.cost'), isRunning ? (job.state === 'queued' ? placeText(job) : runningText(job)) : STUDIES[name].cost(choiceOf(name)));
  const place = row.querySelector('.study-result');
  const key = `${entry.key} ${job?.path ?? ''} ${isRunning} ${Boolean(found)} ${Boolean(job?.problem)} ${entry.methods?.length ?? 0} ${state.method}`;
  if (place.dataset.drawn === key) return;
  place.dataset.drawn = key;
  if (job?.problem) fill(place, make('p', 'problem', problemText(job.problem)));
  else fill(place, ...(found ? STUDIES[name].result(found, entry) : []));
}

const VERDICTS = {
  yes: ['good', '✓', 'depends on the picture'],
  no: ['poor', '✗', 'does not depend on the picture'],
  unknown: ['mixed', '◐', 'undecided'],
};

function badge(tone, sign, text) {
  const mark = make('span', 'sign', sign);
  mark.setAttribute('aria-hidden', 'true');
  return make('span', `badge verdict ${tone}`, mark, make('bdi', '', text));
}

function relianceResult(row) {
  const verdict = VERDICTS[row.depends_on_picture] ?? VERDICTS.unknown;
  const gains = Object.entries(row.gains ?? {});
  const rows = gains.map(([blank, nats]) => [BLANKS[blank] ?? blank, `${signed(nats)} nats`, `× ${factor(nats)}`]);
  const text = row.depends_on_picture === 'yes'
    ? 'With something else in the picture’s place it is clearly more or less likely.'
    : row.depends_on_picture === 'no'
      ? 'It is as likely without the picture: whatever the map shows, the text alone was enough.'
      : 'Nothing that was tried changes it, and not everything was tried.';
  return [make('p', 'row', badge(...verdict)), make('p', '', text), table(['compared with', 'the picture adds', 'likelihood'], rows),
    make('p', 'hint', 'What the picture adds to the logarithm of its probability. 0.1 nats is a factor of 1.1.')];
}

function factor(nats) {
  const value = Math.exp(nats);
  return value >= 1000 ? 'more than 1000' : value >= 10 ? value.toFixed(0) : value.toFixed(2);
}

function certificateResult(row) {
  const all = row.certificate ?? [];
  const judged = all.filter(({ ahead }) => ahead !== null);
  const ahead = judged.filter((one) => one.ahead).length;
  const tone = judged.length === 0 ? ['nothing', '–'] : ahead === judged.length ? ['good', '✓'] : ahead > 0 ? ['mixed', '◐'] : ['poor', '✗'];
  const text = judged.length === 0 ? 'the picture is worth too little to tell' : `ahead of its controls by ${ahead} of ${judged.length}`;
  const rows = all.map(({ operator, srg, p, ahead: is }) => [
    OPERATORS[operator] ?? operator, srg === null ? '–' : signed(srg), p === null ? '–' : p.toFixed(3), is === null ? 'not told' : is ? 'ahead' : 'not ahead',
  ]);
  return [make('p', 'row', badge(...tone, text)), table(['cells are', 'SRG', 'p', 'of its controls'], rows),
    make('p', 'hint', 'SRG: how much more is lost when the map’s first cells go first than when they go last; 0 says nothing. p: how many controls (random orders, moved copies of the map) do as well. Ahead means that the word was read from these cells, not that the answer is true.')];
}

function methodsResult(_, entry) {
  if (!entry.methods) return [make('p', 'hint', 'Reading the maps …')];
  if (entry.methods.length === 0) return [make('p', 'hint', 'No method has a map of it.')];
  const agreement = (method) => percentOverlap(entry.row.maps, method.maps);
  const all = [{ id: '', name: 'relevancy', maps: entry.row.maps }, ...entry.methods];
  const tiles = all.map((method) => {
    const canvas = tile(method.maps);
    const name = make('bdi', 'name', visible(method.name));
    const same = method.id === '' ? null : make('span', 'share', `${percent(agreement(method))} of the hottest tenth in common`);
    const element = button('', 'tile', () => update({ method: method.id || null, cell: null }));
    element.append(canvas, name, ...(same ? [same] : []));
    element.setAttribute('aria-pressed', String((state.method ?? '') === method.id));
    return element;
  });
  return [make('div', 'tiles', ...tiles), make('p', 'hint', 'A click shows a map in the large. Values of different methods have no common unit; where they disagree, none of them decides.')];
}

/** The part of the hottest tenth of the cells that two maps have in common. */
function percentOverlap(first, second) {
  const hottest = (maps) => {
    const cells = maps.flatMap((map, m) => map.values.map((value, i) => [Math.abs(value), `${m} ${i}`]));
    return new Set(cells.sort((a, b) => b[0] - a[0]).slice(0, Math.max(1, Math.round(cells.length / 10))).map(([, cell]) => cell));
  };
  const [a, b] = [hottest(first), hottest(second)];
  return [...a].filter((cell) => b.has(cell)).length / a.size;
}

/** A small picture with its heat. */
function tile(maps) {
  const pictures = scene.pictures();
  const index = Math.min(state.picture, pictures.length - 1);
  const picture = pictures[index];
  const canvas = make('canvas');
  if (!picture?.image) return canvas;
  const side = 240;
  const scale = side / Math.max(picture.width, picture.height);
  Object.assign(canvas, { width: Math.round(picture.width * scale), height: Math.round(picture.height * scale) });
  const context = canvas.getContext('2d');
  context.drawImage(picture.image, 0, 0, canvas.width, canvas.height);
  const here = maps.filter((map) => map.picture === index);
  if (here.length > 0) {
    const over = heat(here, picture, { max: largestOf(maps, pictures), signed: isSigned(maps) }, state, side);
    context.drawImage(over, 0, 0, canvas.width, canvas.height);
  }
  return canvas;
}

function table(head, rows) {
  const cell = (tag, text, scope) => {
    const element = make(tag, '', make('bdi', '', text));
    if (scope) element.scope = scope;
    return element;
  };
  const body = rows.map(([name, ...values]) => make('tr', '', cell('th', name, 'row'), ...values.map((value) => cell('td', value))));
  const headings = make('tr', '', ...head.map((text) => cell('th', text, 'col')));
  return make('div', 'scroll', make('table', '', make('thead', '', headings), make('tbody', '', ...body)));
}

/** A word, or a phrase, against another in its place. */
function againstRow(entry) {
  if (entry.kind !== 'part') return make('span');
  const { current } = state;
  const text = current.text.slice(entry.start, entry.end);
  const input = make('input');
  Object.assign(input, { type: 'text', maxLength: 200, placeholder: opposite(text), required: true });
  input.setAttribute('aria-label', `Words in the place of ${isolated(text)}`);
  input.id = 'against';
  const send = make('button', '', 'Compare');
  send.type = 'submit';
  const form = make('form', 'row against', make('label', '', 'Why not', make('span', 'unseen', ' instead')), input, send);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const typed = input.value.trim();
    if (typed) pin(current.against(entry, typed, entry.isWord && !/\s/.test(typed)));
  });
  const number = occurrenceOf(current.text, entry.start, entry.end);
  const isPhrase = !entry.isWord;
  const hint = isPhrase && number > 1
    ? 'A phrase is compared where it first stands in the answer; this one is a later one. Choose the first.'
    : `What speaks for ${isolated(text)} rather than for the other: ${costText('explanation')}. ${isPhrase ? 'Phrases are compared word by word, in two branches.' : ''}`;
  send.disabled = isPhrase && number > 1;
  const row = make('section', 'study', form, make('p', 'hint', hint));
  row.dataset.study = 'against';
  return row;
}

const OPPOSITES = { left: 'right', right: 'left', upper: 'lower', lower: 'upper', yes: 'No', no: 'Yes', small: 'large', large: 'small' };

function opposite(text) {
  return OPPOSITES[text.toLowerCase()] ?? 'another word';
}
