// What the next question is made of: pictures, and the question itself.

import { byId, button, fill, isolated, make, say, visible } from './dom.js';
import { filesOfDrop, filesOfInput, sourcesOf } from './files.js';
import { bytes, count } from './numbers.js';
import { readOptions, writeOptions } from './options.js';
import { showInquiry, state, update } from './state.js';

let sources = [];
let refused = [];
let asked = () => {};

const EXAMPLES = ['Is there a nodule?', 'Is there a pneumothorax?', 'Describe this chest radiograph.'];

export function listenToComposer(ask) {
  asked = ask;
  document.querySelectorAll('[data-choose]').forEach((element) => {
    element.addEventListener('click', () => choose(element.dataset.choose));
  });
  ['file-input', 'folder-input'].forEach((id) => byId(id).addEventListener('change', async () => {
    const found = filesOfInput(byId(id));
    byId(id).value = ''; // so that the same file can be chosen again
    await add(found);
  }));
  byId('seed').addEventListener('change', () => { if (sources[0]?.kind === 'phantom') choose('phantom'); });
  listenToDrops();
  listenToPrompt();
}

function choose(what) {
  if (what === 'files') byId('file-input').click();
  else if (what === 'folder') byId('folder-input').click();
  else choosePhantom();
}

function choosePhantom() {
  const seed = byId('seed');
  if (!seed.checkValidity() || seed.value === '') {
    refuse([{ name: '', why: 'the number of a synthetic radiograph is a whole number from 0' }]);
    return;
  }
  const others = sources.filter((source) => source.kind !== 'phantom');
  refuse(others.length > 0 ? [{ name: '', why: `the synthetic radiograph took the place of ${count(others.length, 'picture')}` }] : []);
  others.forEach(release);
  change([{ kind: 'phantom', seed: Number(seed.value), name: `Synthetic radiograph ${seed.value}`, isShown: false }]);
}

function listenToDrops() {
  let depth = 0; // of elements that the drag is inside of
  const hasFiles = (event) => event.dataTransfer?.types.includes('Files');
  const show = (isOn) => { byId('dropping').hidden = !isOn; };
  addEventListener('dragenter', (event) => { if (hasFiles(event)) { depth += 1; show(true); } });
  addEventListener('dragleave', (event) => { if (hasFiles(event)) { depth -= 1; show(depth > 0); } });
  addEventListener('dragover', (event) => { if (hasFiles(event)) event.preventDefault(); });
  addEventListener('drop', async (event) => {
    depth = 0;
    show(false);
    if (!hasFiles(event)) return;
    event.preventDefault();
    await filesOfDrop(event.dataTransfer).then(add, () => refuse([{ name: '', why: 'what was dropped cannot be read' }]));
  });
  addEventListener('paste', async (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length === 0) return;
    event.preventDefault();
    await add(files.map((file) => ({ file, folder: '' })));
  });
}

function listenToPrompt() {
  byId('prompt').addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    byId('ask').requestSubmit();
  });
  byId('ask').addEventListener('submit', (event) => {
    event.preventDefault();
    send();
  });
}

function send() {
  const prompt = byId('prompt').value;
  if (prompt.trim() === '') {
    refuse([{ name: '', why: 'type a question first' }]);
    byId('prompt').focus();
    return;
  }
  if (sources.length === 0 && state.model?.sees_pictures) {
    refuse([{ name: '', why: 'add a picture first: this model is asked about pictures' }]);
    return;
  }
  const options = readOptions();
  if (!options) return;
  refuse([]);
  asked({ prompt, sources, options });
}

/** Adds files; what is no picture, or too much, is named. */
async function add(found) {
  const read = await sourcesOf(found);
  const left = [...read.refused];
  const before = sources.filter((source) => source.kind !== 'phantom');
  if (before.length < sources.length && read.sources.length > 0) left.push({ name: '', why: 'the picture took the place of the synthetic radiograph' });
  const { images = Infinity, body_bytes: most = Infinity, picture_bytes: mostOfOne = Infinity } = state.model?.limits ?? {};
  let room = most - before.reduce((sum, source) => sum + sizeOf(source), 0);
  const taken = read.sources.filter((source, index) => {
    const isLarge = source.files.some((file) => file.size > mostOfOne);
    const why = isLarge ? `too large: a file may have ${bytes(mostOfOne)}`
      : sizeOf(source) > room ? `too large: ${bytes(sizeOf(source))}, and a question may have ${bytes(most)} in all`
      : before.length + index >= images ? `a question has at most ${images} pictures` : null;
    if (why) left.push({ name: source.name, why });
    else room -= sizeOf(source);
    return why === null;
  });
  refuse(left);
  taken.forEach(preview);
  if (taken.length > 0) change([...before, ...taken]);
  say(taken.length > 0 ? `${count(taken.length, 'picture')} added.` : 'No picture was added.');
}

const sizeOf = (source) => (source.files ?? []).reduce((sum, file) => sum + file.size, 0);

/** A picture of a source, where the browser can make one. */
function preview(source) {
  if (!source.isShown) return;
  source.url = URL.createObjectURL(source.files[0]);
  const image = new Image();
  image.src = source.url;
  image.decode().then(() => {
    Object.assign(source, { image, width: image.naturalWidth, height: image.naturalHeight });
    update();
  }, () => { source.isShown = false; update(); });
}

/** Frees the preview of a source that no question of the session uses. */
function release(source) {
  const isUsed = state.inquiries.some((inquiry) => inquiry.question.sources.includes(source));
  if (source.url && !isUsed) URL.revokeObjectURL(source.url);
}

/** Other pictures are another question: the answer that is shown would not be about them. */
function change(next) {
  sources = next;
  drawSources();
  showInquiry(null);
}

function refuse(list) {
  refused = list;
  const rows = refused.slice(0, 6).map(({ name, why }) => make('li', '', name ? make('bdi', '', visible(name)) : null, name ? ': ' : null, `${why}.`));
  const more = refused.length > 6 ? [make('li', '', `and ${refused.length - 6} more`)] : [];
  fill(byId('refusals'), ...rows, ...more);
}

let drawn = '';

function drawSources() {
  const key = sources.map(({ name, url, isShown }) => `${name} ${url} ${isShown}`).join('\n');
  if (drawn === key) return;
  drawn = key;
  byId('ask').classList.toggle('empty', sources.length === 0);
  fill(byId('sources'), ...sources.map((source, index) => {
    const name = visible(source.name);
    const tools = [];
    if (sources.length > 1) {
      tools.push(tool('◂', `Move ${isolated(name)} forward`, index > 0, () => swap(index, index - 1)));
      tools.push(tool('▸', `Move ${isolated(name)} back`, index < sources.length - 1, () => swap(index, index + 1)));
    }
    tools.push(tool('✕', `Remove ${isolated(name)}`, true, () => remove(index)));
    const caption = make('bdi', 'name', name);
    caption.title = name;
    return make('li', 'source', thumbnail(source), caption, make('span', 'tools', ...tools));
  }));
}

/** A small picture of a source, or its kind in letters. */
export function thumbnail(source) {
  if (source?.url && source.isShown) {
    const image = make('img', 'thumb');
    image.src = source.url;
    image.alt = '';
    return image;
  }
  const files = source?.files?.length ?? 0;
  const text = !source ? 'text' : source.kind === 'phantom' ? `#${source.seed}` : files > 1 ? `${files} ${source.kind.toUpperCase()}` : source.kind.toUpperCase();
  return make('span', 'thumb letters', text);
}

function tool(text, label, isOn, action) {
  const element = button(text, 'tool', action);
  element.setAttribute('aria-label', label);
  element.disabled = !isOn;
  return element;
}

function swap(index, other) {
  const next = [...sources];
  [next[index], next[other]] = [next[other], next[index]];
  change(next);
  const at = byId('sources').children[other];
  at.querySelectorAll('.tool')[other > index ? 1 : 0].focus();
  say(`${next[other].name} is now picture ${other + 1} of ${next.length}.`);
}

function remove(index) {
  const [gone] = sources.slice(index, index + 1);
  change(sources.filter((source) => source !== gone));
  release(gone);
  const next = byId('sources').children[Math.min(index, sources.length - 1)]?.querySelector('.tool:last-child') ?? byId('choose-files');
  next.focus();
  say(`${gone.name} removed.`);
}

/** The chosen pictures as the viewer shows them before a question is asked. */
export function draftPictures(of = sources) {
  return of.map((source) => ({
    name: source.name,
    width: source.width ?? 1,
    height: source.height ?? 1,
    image: source.image ?? null,
    unreadable: source.isShown ? null : source.kind === 'phantom' ? 'It is drawn when you ask.' : 'It is shown when you ask: the server reads it.',
  }));
}

/** Takes pictures, question and options of an earlier question up again. */
export function restore(question) {
  sources = question.sources;
  byId('prompt').value = question.prompt;
  writeOptions(question.options);
  refuse([]);
  drawSources();
}

/** An empty question. */
export function clear() {
  sources = [];
  byId('prompt').value = '';
  refuse([]);
  drawSources();
}

/** What depends on the model: whether there are phantoms, examples. */
export function drawComposer() {
  const { model, current } = state;
  document.querySelectorAll('[data-choose="phantom"]').forEach((element) => { element.hidden = !model?.phantoms; });
  byId('phantom-field').hidden = !model?.phantoms;
  const examples = byId('examples');
  if (model?.phantoms && !examples.hasChildNodes()) {
    fill(examples, ...EXAMPLES.map((text) => button(text, 'chip', () => {
      byId('prompt').value = text;
      if (sources.length === 0) choosePhantom();
      byId('prompt').focus();
    })));
  }
  examples.hidden = current !== null;
  drawSources();
  byId('send').disabled = model === null;
  byId('welcome').hidden = current !== null;
}
