// The report, and the files that an explanation has.

import { placeText, problemText, runningText } from './answer.js';
import { costText, secondsFor } from './costs.js';
import { byId, button, facts, fill, isolated, link, make, save, say, setText, visible, wrapped } from './dom.js';
import { about, bytes, count } from './numbers.js';
import { Problem, blobOf, get, hasToken } from './server.js';
import { shownEntry, state, update } from './state.js';

/** Lists of files by the path of their explanation. */
const lists = new Map();

let drawn = '';

export function drawResults() {
  const { current } = state;
  const isOn = Boolean(current?.answer) && [...current.entries.values()].some((entry) => entry.state === 'done');
  byId('results-card').hidden = !isOn;
  if (!isOn) {
    drawn = '';
    return;
  }
  const job = current.reportJob;
  const isRunning = Boolean(job && current.jobs.has(job));
  const entry = shownEntry();
  const ofWord = entry?.state === 'done' ? entry.job : null;
  const key = [current.number, job?.path, isRunning, job?.problem?.message, ofWord?.path, entry?.key, listKey(job), listKey(ofWord), Boolean(ofWord?.made), ...Object.values(entry?.studies ?? {}).map((study) => `${study.path} ${Boolean(study.made)} ${listKey(study)}`), current.counts().done];
  if (drawn !== key.join('\n')) {
    drawn = key.join('\n');
    fill(byId('results'), wholeReport(current, job, isRunning), ...(ofWord ? wordFiles(current, entry, ofWord) : []), ofWord?.made ? provenance(current, ofWord.made) : null);
  }
  if (isRunning) setText(byId('report-progress'), job.state === 'queued' ? placeText(job) : runningText(job));
}

const listKey = (job) => (job?.path && lists.has(job.path) ? 'listed' : '');

function wholeReport(current, job, isRunning) {
  const ready = job && !isRunning && !job.problem && !job.cancelled;
  const make1 = button(ready ? 'Make it anew' : 'Make the full report', ready ? '' : 'primary', () => current.report());
  make1.disabled = isRunning;
  const { all } = current.counts();
  const seconds = secondsFor('explanation');
  const cost = secondsFor('report') !== null ? costText('report') : seconds !== null && all > 0 ? `${about(seconds * all)} here` : 'not measured here yet';
  const parts = [make('p', 'hint', `One page with all words of this answer, for keeping and passing on: every word is explained once more, ${cost}.`)];
  if (isRunning) {
    const text = make('p', 'hint', '');
    text.id = 'report-progress';
    parts.push(make('p', 'row', make1, button('Stop', '', () => { job.cancel(); update(); })), text);
  } else if (ready) {
    parts.push(reportButtons(job, make1), fileList(job));
  } else {
    parts.push(make('p', 'row', make1));
    if (job?.problem) parts.push(make('p', 'problem', problemText(job.problem)));
  }
  return make('div', 'result', ...parts);
}

/** What is there of one word is there already. */
function wordFiles(current, entry, job) {
  const names = job.entries.map((other) => wrapped(current.nameOf(other)));
  const isOne = names.length === 1;
  const own = isOne ? `Files of the map of ${names[0]}` : `Files of the maps of ${names.length} words`;
  const together = isOne ? '' : `${names.join(', ')} were explained together.`;
  const studies = Object.entries(entry.studies ?? {}).filter(([, study]) => study.made);
  return [jobFiles('map', own, together, job), ...studies.map(([name, study]) => jobFiles(name, `Files of ${STUDIES[name]}`, '', study))];
}

const STUDIES = { reliance: 'the test of reliance', certificate: 'the certificate', methods: 'the comparison of methods' };

/** Which lists of files are open. */
const openLists = new Set();

function jobFiles(name, title, hint, job) {
  const body = make('div', 'result');
  const details = make('details', '', make('summary', '', title), body);
  details.open = openLists.has(name);
  const open = () => fill(body, make('p', 'hint', hint), reportButtons(job), fileList(job));
  if (details.open) open();
  details.addEventListener('toggle', () => {
    if (details.open) openLists.add(name);
    else openLists.delete(name);
    if (details.open && !body.hasChildNodes()) open();
  });
  return details;
}

/** With what a map was made. */
function provenance(current, run) {
  const list = facts([
    ['Program', visible(run.program)],
    ['Model', visible(run.model)],
    ['Weights, SHA-256', run.model_sha256.join('\n') || null],
    ['Pictures, SHA-256 of their pixels', run.pictures_sha256.join('\n') || null],
    ['Options', visible(run.settings)],
    ['Seconds', run.seconds.toFixed(2)],
    ['The answer ended at', visible(current.answer.stop)],
    ['Tokens of the answer', String(current.answer.tokens.length)],
  ]);
  const details = make('details', '', make('summary', '', 'How this map was made'), list);
  details.open = provenanceOpen;
  details.addEventListener('toggle', () => { provenanceOpen = details.open; });
  return details;
}

let provenanceOpen = false;

function reportButtons(job, ...more) {
  const path = `${job.path}/report`;
  if (hasToken()) {
    const hint = make('p', 'hint', 'A frame cannot send the token of this server: save the report, then open the file.');
    return make('div', 'result', make('p', 'row', button('Save the report', 'primary', () => saveFile(path, 'report.html')), ...more), hint);
  }
  const tab = link('Open in a new tab', path);
  Object.assign(tab, { target: '_blank', rel: 'noopener noreferrer' });
  return make('p', 'row', button('Open the report', 'primary', () => openReport(path)), tab, button('Save the report', '', () => saveFile(path, 'report.html')), ...more);
}

/** The report in a frame that may run its own script and nothing else. */
function openReport(path) {
  const frame = make('iframe', 'report-page');
  frame.setAttribute('sandbox', 'allow-scripts allow-downloads');
  frame.title = 'Report';
  frame.src = path;
  fill(byId('report-frame'), frame);
  byId('report-dialog').showModal();
}

export function listenToResults() {
  byId('report-close').addEventListener('click', () => byId('report-dialog').close());
  byId('report-dialog').addEventListener('close', () => byId('report-frame').replaceChildren());
}

function fileList(job) {
  const known = lists.get(job.path);
  if (!known) {
    get(`${job.path}/files`).then(({ files }) => lists.set(job.path, { files }), (error) => lists.set(job.path, { problem: Problem.of(error) })).then(() => update());
    return make('p', 'hint', 'Files …');
  }
  if (known.problem) return make('p', 'problem', problemText(known.problem));
  const files = known.files.filter(({ name }) => name !== 'report.html'); // it has a button
  const [first, others] = [files.filter(({ name }) => MAIN_FILES.includes(name)), files.filter(({ name }) => !MAIN_FILES.includes(name))];
  if (others.length === 0) return fileRows(job, first);
  const details = make('details', '', make('summary', '', `${count(others.length, 'more file')}: pictures, figures${others.some(({ media_type: kind }) => /dicom/.test(kind)) ? ', DICOM' : ''}`), fileRows(job, others));
  return make('div', '', fileRows(job, first), details);
}

const MAIN_FILES = ['explanation.json', 'explanation.npz'];

function fileRows(job, files) {
  const items = files.map(({ name, bytes: size, media_type: kind }) => {
    const file = button(visible(name), 'file', () => saveFile(`${job.path}/files/${encodeURIComponent(name)}`, name));
    file.setAttribute('aria-label', `Save ${isolated(name)}`);
    return make('li', '', file, make('span', 'hint', `${bytes(size)}${explained(name, kind)}`));
  });
  return make('ul', 'files', ...items);
}

/** What a file is for, where its name does not say it. */
function explained(name, kind) {
  if (name === 'explanation.npz') return ' · arrays for NumPy';
  if (name === 'explanation.json') return ' · the record';
  if (/dicom/.test(kind)) return ' · DICOM object; names the patient';
  return '';
}

async function saveFile(path, name) {
  try {
    save(await blobOf(path), name);
    setText(byId('results-problem'), '');
    say(`${visible(name)} saved.`);
  } catch (error) {
    setText(byId('results-problem'), `${visible(name)} was not saved. ${problemText(Problem.of(error))}`);
  }
}
