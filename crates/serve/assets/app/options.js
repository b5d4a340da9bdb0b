// How a question is answered and explained. Each option says what it costs.

import { byId, fill, make, setText } from './dom.js';
import { costText, secondsFor } from './costs.js';
import { about } from './numbers.js';

/**
 * `of`: whether it concerns the answer, the explanation, or this page alone. `value`: what it says when it is left alone, which is not sent.
 * `cost`: a sentence, made anew when something was measured.
 */
const OPTIONS = [
  {
    id: 'words', label: 'Explained by themselves', of: 'page', value: 'content',
    choices: [['content', 'content words'], ['all', 'every word'], ['none', 'only what I point at']],
    cost: () => `A sweep through the model for each word: ${costText('explanation')}. What you point at goes first.`,
  },
  {
    id: 'against', label: 'Against', of: 'explanation', value: '', text: 'its alternatives', list: ['alternatives', 'runner-up'],
    send: (value) => ({ contrast: value }),
    cost: () => 'A map says why this word rather than another. Left empty: rather than what could stand there, for one more pass over the question. Or name a word, or runner-up.',
  },
  {
    id: 'method', label: 'Other methods', of: 'explanation', value: [], many: [
      ['raw-attention', 'raw attention'], ['gradient-attention', 'gradient × attention'], ['grad-cam', 'Grad-CAM'],
      ['mean-cell', 'mean cell'], ['input-gradient', 'gradient × input'], ['rollout', 'rollout'],
      ['occlusion-knockout', 'occlusion (knock-out)'],
    ],
    send: (value) => ({ method: value }),
    cost: () => 'With every map. They come from the same sweep and cost little; rollout reads all layers again, and occlusion needs a run for each of 256 cells.',
  },
  {
    id: 'reliance', label: 'Does it depend on the picture?', of: 'explanation', value: '', choices: [
      ['', 'not with every map'], ['mean-embedding', 'one blank'], ['mean,blur,mean-embedding,knockout', 'four blanks and a verdict'],
    ],
    send: (value) => ({ reliance: value.split(',') }),
    cost: () => `A run of the model for each blank, two of them with the vision tower: ${costText('reliance')}.`,
  },
  {
    id: 'certificate', label: 'Certificate', of: 'explanation', value: '', choices: [
      ['', 'not with every map'], ['knock-out', 'knock-out'], ['mean-embedding', 'mean embedding'], ['full', 'all, stability, randomisation'],
    ],
    send: (value) => ({ certificate: [value] }),
    cost: () => `Some 340 runs for one word by each way to take cells away: ${costText('certificate')}. Rather ask for it at a word.`,
  },
  {
    id: 'resolution', label: 'Resolution', of: 'explanation', value: 'tokens',
    choices: [['tokens', 'tokens of the picture'], ['patches', 'patches'], ['pixels', 'pixels']],
    send: (value) => ({ resolution: value }),
    cost: () => 'Patches go on through the vision tower, which is one more sweep there for each word; pixels add the gradient at the pixels.',
  },
  {
    id: 'path_points', label: 'Points of the path', of: 'explanation', value: '1', choices: [['1', 'one: the picture'], ['2', 'two'], ['4', 'four']],
    send: (value) => ({ path_points: Number(value) }),
    cost: () => 'Sharpens words that several places speak for. Each further point costs a run and a sweep: two take twice the time.',
  },
  {
    id: 'regions', label: 'Regions', of: 'explanation', value: '',
    choices: [['', 'none'], ['halves', 'halves'], ['quadrants', 'quadrants'], ['grid3x3', '3 × 3'], ['cxr', 'zones of a chest radiograph']],
    send: (value) => ({ regions: value }),
    cost: () => 'Sums of the map by part of the picture. Costs nothing.',
  },
  {
    id: 'orientation', label: 'Orientation', of: 'explanation', value: '',
    choices: [['', 'as the file says'], ['pa', 'PA'], ['ap', 'AP'], ['flipped', 'flipped'], ['none', 'no chest radiograph']],
    send: (value) => ({ orientation: value }),
    cost: () => 'Which side of the picture is the patient’s right. Nothing is flipped; names of zones and letters follow. Costs nothing.',
  },
  {
    id: 'max_new_tokens', label: 'Most tokens of the answer', of: 'answer', value: '', number: [1, 100000], text: '300',
    send: (value) => ({ max_new_tokens: Number(value) }),
    cost: () => (secondsFor('answer_token') === null ? 'Each token is a run of the model; not measured here yet.' : `100 tokens take ${about(100 * secondsFor('answer_token'))} here.`),
  },
  {
    id: 'seed_of_sampling', label: 'Sample with the seed', of: 'answer', value: '', number: [0, 2 ** 32], text: 'no sampling',
    send: (value) => ({ sample: true, seed: Number(value) }),
    cost: () => 'Left empty, the most likely token is taken each time. Costs nothing.',
  },
  {
    id: 'answer', label: 'Answer to explain', of: 'answer', value: '', text: 'the model’s own', long: true,
    send: (value) => ({ answer: value }),
    cost: () => 'A text of yours in the place of the model’s answer: nothing is generated, and its words are explained.',
  },
  {
    id: 'system', label: 'System prompt', of: 'answer', value: '', text: 'none', long: true,
    send: (value) => ({ system: value }),
    cost: () => 'Stands before the question. Costs its tokens.',
  },
  {
    id: 'window', label: 'Window', of: 'answer', group: 'reading', value: '', text: 'as the file says', list: ['lung', 'bone', 'soft-tissue', 'brain', 'mediastinum', 'liver'],
    send: (value) => ({ window: value }),
    cost: () => 'A name, or the values that become black and white, such as -1000,400. Costs nothing.',
  },
  {
    id: 'slices', label: 'Slices', of: 'answer', group: 'reading', value: '', text: 'as the recipe says',
    send: (value) => ({ slices: value }),
    cost: () => 'Of a series: all, at most a number, or a list such as 3,7-12. Each slice is 256 more tokens of the question.',
  },
];

const fields = new Map();

export function buildOptions() {
  const groups = [['Explaining', (of) => of !== 'answer' && of !== 'reading'], ['Answering', (of) => of === 'answer'], ['Reading DICOM and NIfTI', (of) => of === 'reading']];
  fill(byId('option-fields'), ...groups.flatMap(([title, isIn]) => [
    make('h3', 'option-group', title),
    make('div', 'option-grid', ...OPTIONS.filter((option) => isIn(option.group ?? option.of)).map(optionField)),
  ]));
  byId('option-fields').addEventListener('input', drawOptions);
  byId('options').addEventListener('toggle', drawOptions);
}

function optionField(option) {
  const control = option.many ? manyOf(option) : oneOf(option);
  const cost = make('span', 'hint', option.cost());
  cost.id = `cost-${option.id}`;
  fields.set(option.id, { option, control, cost });
  if (option.many) {
    const legend = make('legend', '', option.label);
    return make('fieldset', 'option wide', legend, control, cost);
  }
  control.id = `option-${option.id}`;
  control.setAttribute('aria-describedby', cost.id);
  const label = make('label', 'option-label', option.label);
  label.htmlFor = control.id;
  return make('div', option.long ? 'option wide' : 'option', label, control, cost);
}

function oneOf(option) {
  if (option.choices) {
    const select = make('select', '', ...option.choices.map(([value, text]) => {
      const choice = make('option', '', text);
      choice.value = value;
      return choice;
    }));
    select.value = option.value;
    return select;
  }
  const input = make(option.long ? 'textarea' : 'input');
  if (option.long) input.rows = 2;
  if (option.number) {
    input.type = 'number';
    [input.min, input.max] = option.number;
    input.step = 1;
  }
  input.placeholder = option.text;
  if (option.list) {
    const list = make('datalist', '', ...option.list.map((value) => {
      const choice = make('option');
      choice.value = value;
      return choice;
    }));
    list.id = `list-${option.id}`;
    document.body.append(list);
    input.setAttribute('list', list.id);
  }
  return input;
}

function manyOf({ many }) {
  return make('div', 'many', ...many.map(([value, text]) => {
    const box = make('input');
    box.type = 'checkbox';
    box.value = value;
    return make('label', 'check', box, text);
  }));
}

function valueOf({ option, control }) {
  if (!option.many) return control.value.trim();
  return [...control.querySelectorAll(':checked')].map((box) => box.value);
}

function isChanged(field) {
  const value = valueOf(field);
  return field.option.many ? value.length > 0 : value !== field.option.value;
}

/** The options as they stand: for the answer, for explanations, and which words are explained. Null where a field is not valid. */
export function readOptions() {
  const read = { answer: {}, explanation: {}, words: valueOf(fields.get('words')), shown: {} };
  for (const field of fields.values()) {
    const { option, control } = field;
    if (!option.many && !control.checkValidity()) {
      byId('options').open = true;
      control.reportValidity();
      return null;
    }
    read.shown[option.id] = valueOf(field);
    if (option.of !== 'page' && isChanged(field)) Object.assign(read[option.of], option.send(valueOf(field)));
  }
  return read;
}

/** Puts the options of an earlier question back. */
export function writeOptions({ shown }) {
  fields.forEach(({ option, control }) => {
    const value = shown[option.id] ?? option.value;
    if (option.many) control.querySelectorAll('input').forEach((box) => { box.checked = value.includes(box.value); });
    else control.value = value;
  });
  drawOptions();
}

export function drawOptions() {
  const changed = [...fields.values()].filter(isChanged);
  setText(byId('options-changed'), changed.length > 0 ? `${changed.length} changed: ${changed.map(({ option }) => option.label).join(', ')}` : '');
  if (byId('options').open) fields.forEach(({ option, cost }) => setText(cost, option.cost()));
}
