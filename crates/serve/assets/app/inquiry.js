// One question: it is asked, its answer comes in, and its words are explained, those first that the reader points at.

import { Problem, blobOf, follow, forget, get, request } from './server.js';
import { charactersBefore, cut, firstBytes, isContent } from './words.js';
import { measure, secondsFor } from './costs.js';
import { readMethods, readVersus } from './methods.js';
import { isolated, say, visible, wrapped } from './dom.js';
import { update } from './state.js';

/** How long a batch of words may keep others waiting. */
const SECONDS_OF_A_BATCH = 3;
const MOST_OF_A_BATCH = 16;
const FIRST_BATCH = 2;

let made = 0;

/** A name as the server takes it: without control characters, and not endless. */
function plainName(name) {
  return [...name.replace(/\p{Cc}/gu, ' ')].slice(-200).join('');
}

export class Inquiry {
  /** `question`: prompt, sources, options { answer, explanation, words }. */
  constructor(question) {
    made += 1;
    this.number = made;
    this.question = question;
    this.state = 'sending'; // queued, running, done, failed, cancelled
    this.position = null;
    this.progress = null;
    this.problem = null;
    this.id = null; // of the answer, once it can be explained
    this.path = null;
    this.text = '';
    this.answer = null;
    this.pictures = [];
    this.tokens = null; // of the prompt, once a record was read
    this.entries = new Map(); // what is explained, by key
    this.jobs = new Set();
    this.wishes = [];
    this.lastShown = null;
    this.stopped = false;
    this.abort = new AbortController();
  }

  get isAnswering() {
    return ['sending', 'queued', 'running'].includes(this.state);
  }

  get isBusy() {
    return this.isAnswering || this.jobs.size > 0;
  }

  /** The words of the text so far, each with where it stands. */
  words() {
    if (this.cutText !== this.text) {
      this.cutText = this.text;
      this.cutParts = cut(this.text);
    }
    return this.cutParts.filter((part) => part.isWord);
  }

  async ask() {
    const { prompt, sources, options } = this.question;
    try {
      const job = { prompt, options: options.answer, cancel_when_left: true };
      const item = await this.#post('/v1/answers', job, sources);
      this.path = `/v1/answers/${item.id}`;
      if (this.abort.signal.aborted) return await forget(this.path);
      this.#take(item);
      await follow(this.path, (name, data) => this.#answerEvent(name, data), this.abort.signal);
      if (this.state === 'done') this.#answered();
    } catch (error) {
      if (!this.abort.signal.aborted) this.#fail(Problem.of(error));
    }
    update();
  }

  async #post(path, job, sources = []) {
    const phantom = sources.find((source) => source.kind === 'phantom');
    const whole = phantom ? { ...job, phantom: phantom.seed } : job;
    const files = sources.flatMap((source) => source.files ?? []);
    // A request is not called back once it is sent: what came of it would run on, and nobody would know its name.
    if (files.length === 0) return (await request(path, { method: 'POST', json: whole })).json();
    const form = new FormData();
    form.append('job', JSON.stringify(whole));
    files.forEach((file) => form.append('image', file, plainName(file.name)));
    return (await request(path, { method: 'POST', form })).json();
  }

  #take(item) {
    this.state = item.state;
    this.position = item.position;
    this.progress = item.progress;
    if (item.pictures?.length > 0) this.#takePictures(item.pictures);
    update();
  }

  #answerEvent(name, data) {
    if (name === 'queued') Object.assign(this, { state: 'queued', position: data.position, waits: data.waits_seconds });
    else if (name === 'started') Object.assign(this, { state: 'running', position: null });
    else if (name === 'pictures') this.#takePictures(data.pictures);
    else if (name === 'progress') this.progress = data;
    else if (name === 'token') this.#grow(data);
    else if (name === 'answered') Object.assign(this, { answer: data, id: data.id, text: data.text });
    else if (name === 'done') this.state = 'done';
    else if (name === 'cancelled') this.state = 'cancelled';
    else if (name === 'failed') this.#fail(new Problem({ kind: data.kind, detail: data.message }));
    update();
  }

  /** More text. `from`: the bytes that stand before it, so that a stream that was taken up again repeats nothing. */
  #grow({ text, from }) {
    this.text = (from === undefined ? this.text : firstBytes(this.text, from)) + text;
  }

  #fail(problem) {
    this.state = 'failed';
    this.problem = problem;
    say(`The question failed. ${problem.message}`);
  }

  #takePictures(pictures) {
    if (this.pictures.length > 0) return;
    // Until the server's picture is here, the browser's own stands in its place.
    const { sources } = this.question;
    const own = (n) => (sources.length === pictures.length ? (sources[n].image ?? null) : null);
    this.pictures = pictures.map((picture, n) => ({ ...picture, image: own(n), isOwn: false }));
    this.pictures.forEach(async (picture, n) => {
      try {
        const image = new Image();
        image.src = URL.createObjectURL(await blobOf(picture.png));
        await image.decode();
        Object.assign(picture, { image, isOwn: true });
        this.#showSource(n, picture);
      } catch (error) {
        picture.unreadable = Problem.of(error).message;
      }
      update();
    });
  }

  /** What only the server could read is shown by its picture from now on. */
  #showSource(n, picture) {
    const source = this.question.sources.length === this.pictures.length ? this.question.sources[n] : null;
    if (!source || source.isShown) return;
    const { image, width, height } = picture;
    Object.assign(source, { image, width, height, url: image.src, isShown: true });
    picture.isOwn = false; // the source frees it
  }

  async #answered() {
    if (!this.answer) {
      const item = await get(this.path, this.abort.signal);
      Object.assign(this, { answer: item.answer, id: item.answer?.id ?? item.id, text: item.answer?.text ?? this.text });
    }
    this.progress = null;
    say('Answer finished.');
    this.pump();
  }

  /** Ends all that goes on for this question. What was explained stays. */
  stop() {
    this.#stop();
    say('Stopped.');
    update();
  }

  #stop() {
    this.stopped = true;
    this.wishes.forEach((entry) => { entry.state = 'idle'; });
    this.wishes = [];
    this.jobs.forEach((job) => job.cancel());
    if (!this.isAnswering) return;
    this.abort.abort();
    if (this.path) forget(this.path);
    Object.assign(this, { state: 'cancelled', progress: null });
  }

  /** Explains by itself again, after a stop or a failure. */
  resume() {
    this.stopped = false;
    this.pump();
    update();
  }

  /** The entry of a part of the answer, made when it is first asked for. `word`: its place is taken anew while the text comes in. */
  part(start, end, isWord) {
    const key = isWord ? `w${start}` : `p${start}-${end}`;
    if (!this.entries.has(key)) this.entries.set(key, { key, start, end, isWord, state: 'idle', kind: 'part' });
    const entry = this.entries.get(key);
    entry.end = end;
    return entry;
  }

  /** What an entry is called; nothing unseen is left in it. */
  nameOf(entry) {
    if (entry.kind === 'answer') return 'whole answer';
    const text = this.text.slice(entry.start, entry.end);
    return entry.against === undefined ? visible(text) : `${isolated(text)} against ${isolated(entry.against)}`;
  }

  /** The entry of a part against other words in its place. */
  against(entry, text, isContrast) {
    const key = `${entry.key}|${isContrast ? 'word' : 'phrase'}|${text}`;
    const { start, end, isWord } = entry;
    const made = { key, start, end, isWord, isContrast, against: text, state: 'idle', kind: 'against' };
    if (!this.entries.has(key)) this.entries.set(key, made);
    return this.entries.get(key);
  }

  whole() {
    if (!this.entries.has('answer')) this.entries.set('answer', { key: 'answer', start: 0, end: this.text.length, state: 'idle', kind: 'answer' });
    return this.entries.get('answer');
  }

  /** Explains this next. While the answer is still being made, as soon as it is finished. */
  wish(entry) {
    if (['posting', 'queued', 'running', 'done'].includes(entry.state)) return;
    entry.problem = null;
    entry.state = 'wanted';
    this.wishes = [entry, ...this.wishes.filter((other) => other !== entry)];
    this.pump();
    update();
  }

  /** Starts what can start: one wish, and one batch of words behind it. */
  pump() {
    if (!this.answer || this.state !== 'done') return;
    const running = [...this.jobs];
    if (running.some((job) => job.urgent)) return;
    const entry = this.wishes.shift();
    if (entry) {
      this.#start([entry], true);
      return;
    }
    if (this.stopped || this.full || running.some((job) => !job.study)) return;
    const batch = this.#batch();
    if (batch.length > 0) this.#start(batch, false);
  }

  /** The next words that nobody pointed at, in reading order. */
  #batch() {
    const { words } = this.question.options;
    if (words === 'none') return [];
    const meant = this.words().filter(({ text }) => words === 'all' || isContent(text));
    const entries = meant.map(({ start, text }) => this.part(start, start + text.length, true));
    const seconds = secondsFor('explanation');
    const size = seconds === null ? FIRST_BATCH : Math.min(MOST_OF_A_BATCH, Math.max(1, Math.floor(SECONDS_OF_A_BATCH / seconds)));
    return entries.filter(({ state }) => state === 'idle').slice(0, size);
  }

  /** Words that are to be explained, and those that are. */
  counts() {
    const { words } = this.question.options;
    const meant = words === 'none' ? [] : this.words().filter(({ text }) => words === 'all' || isContent(text));
    const done = meant.filter(({ start }) => this.entries.get(`w${start}`)?.state === 'done');
    return { done: done.length, all: meant.length };
  }

  targetOf(entry) {
    if (entry.kind === 'answer') return { answer_span: true };
    // It may have been pointed at while its last letters were still to come.
    const word = entry.isWord ? this.words().find(({ start }) => start === entry.start) : null;
    if (word) entry.end = word.start + word.text.length;
    const characters = [entry.start, entry.end].map((unit) => charactersBefore(this.text, unit));
    if (entry.kind === 'against' && !entry.isContrast) return { phrase: this.text.slice(entry.start, entry.end), against: entry.against };
    return { characters };
  }

  async #start(entries, urgent) {
    const contrast = entries[0].isContrast ? { contrast: entries[0].against } : {};
    const job = new Job(this, entries, { ...this.question.options.explanation, ...contrast, words: 'none' });
    job.urgent = urgent;
    await job.run();
    if (!job.problem && !job.cancelled) measure('explanation', job.seconds / entries.length);
    else if (job.problem?.kind === 'busy') this.#wait(job);
    else if (job.problem && !urgent) this.stopped = true;
    this.#readTokens(job);
    this.#readMore(job);
    this.pump();
    update();
  }

  /** The queue is full: the same is asked again when there may be room. */
  #wait({ entries, problem }) {
    const seconds = problem.retryAfter ?? 5;
    entries.forEach((entry) => Object.assign(entry, { state: 'idle', problem: null }));
    this.full = true;
    setTimeout(() => {
      this.full = false;
      if (this.stopped) return;
      this.pump();
      update();
    }, 1000 * seconds);
  }

  /** Finer maps and those of other methods, where every map has them: rows of results hold neither. */
  async #readMore(job) {
    const { method, resolution } = job.options;
    const [first] = job.entries;
    const isPair = first?.kind === 'against' && !first.isContrast;
    if ((!method && !resolution && !isPair) || job.problem || job.cancelled) return;
    try {
      const all = isPair ? [] : await readMethods(job);
      job.entries.forEach((entry, index) => { entry.methods = all[index]; });
      const pair = isPair ? await readVersus(job) : null;
      if (pair) first.methods = pair;
    } catch (error) {
      job.entries.forEach((entry) => { entry.methodsProblem = Problem.of(error); });
    }
    update();
  }

  /** Asks more of an entry: options such as reliance, beside those of the question. Gives the job, which has ended. */
  async study(entry, name, options, cost = name) {
    const contrast = entry.isContrast ? { contrast: entry.against } : {};
    const job = new Job(this, [entry], { ...this.question.options.explanation, ...contrast, ...options, words: 'none' });
    job.study = name;
    entry.studies = { ...entry.studies, [name]: job };
    await job.run();
    if (!job.problem && !job.cancelled) measure(cost, job.seconds);
    this.pump();
    update();
    return job;
  }

  /** A report of all words. */
  async report() {
    const job = new Job(this, [], { ...this.question.options.explanation, words: this.question.options.words });
    job.study = 'report';
    job.targets = [...this.entries.values()].filter((entry) => entry.state === 'done' && !entry.isWord && !entry.isContrast).map((entry) => this.targetOf(entry));
    if (this.question.options.words === 'none') {
      const words = [...this.entries.values()].filter((entry) => entry.state === 'done' && entry.kind === 'part' && entry.isWord);
      job.targets.push(...words.map((entry) => this.targetOf(entry)));
    }
    this.reportJob = job;
    await job.run();
    if (job.problem || job.cancelled) return update();
    measure('report', job.seconds);
    say('The report is ready.');
    update();
  }

  /** The tokens of the prompt, which stand in the record of any explanation. */
  async #readTokens(job) {
    if (this.tokens || job.problem || job.cancelled) return;
    try {
      const record = await get(`${job.path}/files/explanation.json`, this.abort.signal);
      this.tokens = new Map(record.tokens.map((token) => [token.position, token]));
      this.images = record.images;
    } catch (error) {
      this.tokensProblem = Problem.of(error).message;
    }
    update();
  }

  /** Takes a question that is not shown any more off the server and out of memory. */
  drop() {
    this.#stop();
    this.abort.abort();
    this.pictures.forEach(({ image, isOwn }) => { if (isOwn) URL.revokeObjectURL(image.src); });
  }
}

/** An explanation on the server, of one or several entries. */
class Job {
  constructor(inquiry, entries, options) {
    Object.assign(this, { inquiry, entries, options, state: 'posting', position: null, progress: null, problem: null });
    this.abort = new AbortController();
    this.cancelled = false;
    this.rows = new Map();
    this.owners = new Map();
  }

  async run() {
    const started = performance.now();
    this.inquiry.jobs.add(this);
    this.#each((entry) => { entry.state = 'posting'; entry.job = this; });
    update();
    try {
      const targets = this.targets ?? this.entries.map((entry) => this.inquiry.targetOf(entry));
      const json = { answer: this.inquiry.id, targets, options: this.options, cancel_when_left: true };
      const item = await (await request('/v1/explanations', { method: 'POST', json })).json();
      this.path = `/v1/explanations/${item.id}`;
      if (this.abort.signal.aborted) await forget(this.path);
      Object.assign(this, { state: item.state, position: item.position, progress: item.progress });
      await follow(this.path, (name, data) => this.#event(name, data), this.abort.signal);
      if (this.state === 'done') this.#complete(await get(this.path, this.abort.signal));
    } catch (error) {
      if (!this.abort.signal.aborted) this.problem = Problem.of(error);
    }
    this.seconds = (performance.now() - (this.startedAt ?? started)) / 1000;
    this.inquiry.jobs.delete(this);
    this.#end();
  }

  /** Entries whose map this job makes; a study only adds to one that is there. */
  #each(visit) {
    if (!this.study) this.entries.forEach(visit);
  }

  #event(name, data) {
    if (name === 'queued') Object.assign(this, { state: 'queued', position: data.position, waits: data.waits_seconds });
    else if (name === 'started') Object.assign(this, { state: 'running', position: null, startedAt: performance.now() });
    else if (name === 'progress') this.progress = data;
    else if (name === 'row') this.#row(data);
    else if (name === 'failed') this.problem = new Problem({ kind: data.kind, detail: data.message });
    else if (name === 'done') this.state = 'done';
    else if (name === 'cancelled') this.cancelled = true;
    this.#each((entry) => { if (entry.state !== 'done') entry.state = this.state === 'queued' ? 'queued' : 'running'; });
    update();
  }

  /** A row that is ready. One with the same number takes the place of an earlier one. */
  #row(row) {
    this.rows.set(row.index, row);
    if (row.kind === 'missing') {
      this.problem ??= new Problem({ kind: 'not-in-answer', detail: row.text });
      return;
    }
    const entry = this.study ? null : this.#entryOf(row);
    if (!entry) return;
    this.owners.set(row.index, entry);
    const isFirst = entry.state !== 'done';
    Object.assign(entry, { row, state: 'done', problem: null });
    this.inquiry.lastShown ??= entry.key;
    if (isFirst && this.urgent) say(`Map of ${wrapped(this.inquiry.nameOf(entry))} ready.`);
  }

  /** Rows say where they stand in the answer; one that stands at none of the places that were asked for is the next in turn. */
  #entryOf(row) {
    const { text } = this.inquiry;
    const waiting = this.entries.filter((entry) => entry.state !== 'done');
    const overlaps = ({ start, end }) => row.span && charactersBefore(text, start) < row.span[1] && row.span[0] < charactersBefore(text, end);
    return this.owners.get(row.index) ?? waiting.find(overlaps) ?? waiting[0];
  }

  /** What stands in the result alone, and rows that a broken connection lost. */
  #complete({ rows, run }) {
    this.made = run;
    (rows ?? []).filter((row) => !this.rows.has(row.index)).forEach((row) => this.#row(row));
  }

  #end() {
    this.#each((entry) => {
      if (entry.state === 'done') return;
      if (this.cancelled || this.abort.signal.aborted) entry.state = 'idle';
      else Object.assign(entry, { state: 'failed', problem: this.problem ?? new Problem({ detail: 'The server gave no map for it.' }) });
    });
    if (this.problem && (this.urgent || this.study)) say(`That failed. ${this.problem.message}`);
  }

  cancel() {
    this.cancelled = true;
    this.abort.abort();
    if (this.path) forget(this.path);
    this.inquiry.jobs.delete(this);
  }
}
