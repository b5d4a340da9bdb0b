// Buttons, selections and sliders.

function option(value, text) {
  return Object.assign(make('option', '', text), { value });
}

function buildControls() {
  byId('colormap').append(...data.colormaps.map(({ name }) => option(name, name)));
  byId('colormap').value = state.colormap;
  byId('method').append(...data.methods.map(({ name }, index) => option(index, name)));
  byId('method-field').hidden = data.methods.length < 2;
  byId('contours').append(...contourChoices().map(([value, text]) => option(value, text)));
  byId('contours').value = state.contours.join();
  if (data.volumes.length > 0) byId('scale').options[0].textContent = 'per word, all slices';
  byId('marks').hidden = data.pictures.every(({ letters, outlines }) => outlines.length === 0 && letters.every((letter) => letter === ''));
  byId('regions-card').hidden = data.regions.length === 0;
  document.querySelector('.viewer').hidden = data.pictures.length === 0;
  if (data.pictures.length === 0) choicesOfText();
  buildLayers();
}

/** Without pictures what concerns the text, too, stands beside it. */
function choicesOfText() {
  const row = make('div', 'row fields', '');
  row.append(byId('method-field'), byId('layer-field'));
  byId('strongest').before(row, byId('method-note'));
}

/** Quantiles that can be chosen, and those that were asked for. */
function contourChoices() {
  const text = (quantiles) => `${quantiles.map((q) => `${Number((100 * (1 - q)).toFixed(2))} %`).join(' and ')}`;
  const usual = [[0.9], [0.95], [0.99], [0.9, 0.99]];
  const asked = data.contours.length > 0 && !usual.some((choice) => choice.join() === data.contours.join());
  const choices = asked ? [...usual, data.contours] : usual;
  return [['', 'none'], ...choices.map((choice) => [choice.join(), text(choice)])];
}

/** The slider's last place is the result; the others are the recorded layers. */
function buildLayers() {
  const { layers, note } = data.methods[state.method];
  byId('layer-field').hidden = layers.length === 0;
  byId('layer').max = layers.length;
  byId('layer').value = layers.length;
  byId('method-note').textContent = note;
}

function listenToControls() {
  const on = (id, type, listener) => byId(id).addEventListener(type, (event) => listener(event.target));
  on('colormap', 'change', ({ value }) => update({ colormap: value }));
  on('smooth', 'change', ({ value }) => update({ smooth: value === 'smooth' }));
  on('scale', 'change', ({ value }) => update({ common: value === 'common' }));
  on('contours', 'change', ({ value }) => update({ contours: value === '' ? [] : value.split(',').map(Number) }));
  on('opacity', 'input', ({ value }) => update({ opacity: Number(value) }));
  on('threshold', 'input', ({ value }) => update({ threshold: Number(value) }));
  on('layer', 'input', ({ value, max }) => update({ layer: value === max ? -1 : Number(value) }));
  on('method', 'change', ({ value }) => {
    update({ method: Number(value), layer: -1, cell: null });
    buildLayers();
  });
  on('zoom-in', 'click', () => zoomBy(1.4));
  on('zoom-out', 'click', () => zoomBy(1 / 1.4));
  on('zoom-reset', 'click', () => moveTo(0.5, 0.5, 1));
  on('original', 'click', () => update({ original: !state.original }));
  on('marks', 'click', () => update({ marks: !state.marks }));
  on('compare', 'click', compare);
  on('export', 'click', savePicture);
  on('theme', 'click', switchTheme);
  on('help-open', 'click', () => byId('help').showModal());
  byId('comparison').querySelectorAll('button').forEach((button) => {
    button.addEventListener('click', () => update({ compare: button.dataset.compare }));
  });
}

/** Ends a comparison, or makes the next click on a word begin one. */
function compare() {
  if (state.second !== null) update({ second: null, comparing: false });
  else update({ comparing: !state.comparing, pinned: state.pinned ?? primary() });
}

function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  root.dataset.theme = dark ? 'light' : 'dark';
}

function drawControls() {
  const { layers } = data.methods[state.method];
  byId('opacity-value').textContent = `${state.opacity} %`;
  byId('threshold-value').textContent = `${state.threshold} %`;
  const layer = state.layer < 0 ? 'result' : layers[state.layer];
  byId('layer-value').textContent = layer;
  byId('layer').setAttribute('aria-valuetext', layer);
  byId('marks').setAttribute('aria-pressed', String(state.marks));
  byId('original').setAttribute('aria-pressed', String(state.original));
  byId('compare').setAttribute('aria-pressed', String(state.comparing || state.second !== null));
  byId('comparison').hidden = state.second === null;
  byId('comparison').querySelectorAll('button').forEach((button) => {
    button.setAttribute('aria-pressed', String(button.dataset.compare === state.compare));
  });
  byId('answer-hint').textContent = state.comparing
    ? 'Choose the second word.'
    : `Point at a word to see ${data.pictures.length > 0 ? 'its map' : 'what speaks for it'}. Click pins it; shift-click adds a second one.`;
}

/** Keys that work everywhere but where something is typed or chosen. */
function listenToKeys() {
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest('select, dialog')) return;
    const key = event.key.toLowerCase();
    if (key === 'o' && !event.repeat) update({ original: true });
    else if (key === 'd') update({ compare: state.compare === 'side' ? 'difference' : 'side' });
    else if (key === '[') stepPicture(-1);
    else if (key === ']') stepPicture(1);
    else if (key === 'escape') release();
  });
  document.addEventListener('keyup', (event) => {
    if (event.key.toLowerCase() === 'o') update({ original: false });
  });
}
