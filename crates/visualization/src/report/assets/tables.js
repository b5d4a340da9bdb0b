// What follows the shown words: their details, regions, text tokens and the strip of pictures.

function definition(name, value) {
  return make('div', '', make('dt', '', name), make('dd', '', value));
}

let detailsFor = '';

/** Redraws tables only when the words, the method or the layer change: pointer moves come many times a second. */
function drawTables() {
  const key = [shownTargets(), state.method, state.layer, state.template].join();
  if (key !== detailsFor) {
    detailsFor = key;
    replaceDetails();
    drawRegions();
    drawText();
  }
  drawEvidence();
}

/** The keyboard stays on the badge while other words are shown beside it. */
function replaceDetails() {
  const details = byId('details');
  const held = details.contains(document.activeElement);
  details.replaceChildren(...shownTargets().map(detailsOf));
  if (held) details.querySelector('.badge')?.focus({ preventScroll: true });
}

function detailsOf(target) {
  const { probability: p, positions, facts, flags } = data.targets[target];
  const row = currentRow(target);
  const list = make('dl', 'facts');
  if (p !== null) list.append(definition('Probability', probability(p)));
  const share = (pictures) => {
    const part = placeShare(row, pictures);
    return part === null ? '–' : `${percent(part)} of ${quantityOf()}`;
  };
  if (data.pictures.length > 0) list.append(definition(data.pictures.length > 1 ? 'In the pictures' : 'In the picture', share([...data.pictures.keys()])));
  if (places.length > 1) {
    places.forEach(({ name, pictures }) => list.append(definition(isolated(name), share(pictures))));
  }
  list.append(definition('Position', positionText(positions).replace(/^positions? /, '')));
  const found = textOf(target, state.method);
  if (state.layer < 0 && found && found.self > 0) list.append(definition('Self term', number(found.self)));
  facts.forEach(([name, value]) => list.append(definition(name, value)));
  const name = make('p', 'word-name', nameOf(target));
  name.dir = 'auto';
  const warnings = flags.map((flag) => make('p', 'flag', flag));
  const evidence = evidenceOf(target);
  if (!evidence) return make('div', '', name, ...warnings, list);
  const head = make('div', 'word-head', name, evidence.badge);
  return make('div', '', head, ...warnings, evidence.panel, list);
}

/** Sums of one region: of values, of weights, and of cells. */
function regionSums(grids, region) {
  let [value, area] = [0, 0];
  weights[region].forEach((cells, grid) => {
    if (!cells) return;
    cells.forEach((weight, cell) => {
      value += (weight / 255) * grids[grid][cell];
      area += weight / 255;
    });
  });
  return { value, area };
}

function regionRow(region, columns) {
  const row = make('tr');
  const name = make('th', '', make('bdi', '', data.regions[region].name));
  name.scope = 'row';
  row.append(name, ...columns.flatMap((column, index) => regionCells(column(region), index === 1)));
  row.addEventListener('pointerenter', () => update({ region }));
  row.addEventListener('pointerleave', () => update({ region: null }));
  return row;
}

function regionCells(found, second) {
  if (!found) return ['–', '–', '–'].map((text) => make('td', '', text));
  const { value, area, sum, cells } = found;
  const share = sum > 0 ? value / sum : 0;
  const shareCell = make('td', '', meter(share, second), make('span', 'figure', percent(share)));
  if (area === 0) return [shareCell, make('td', '', '–'), make('td', '', '–')];
  return [
    shareCell,
    make('td', '', number(value / area)),
    make('td', '', sum > 0 ? `${(share / (area / cells)).toFixed(2)}×` : '–'),
  ];
}

function drawRegions() {
  if (data.regions.length === 0) return;
  const targets = shownTargets();
  const { parts, signs } = data.methods[state.method];
  byId('regions-signed').hidden = !signs;
  const columns = targets.map((target) => {
    if (signs || currentRow(target) === null) return () => null;
    const grids = gridsOf(currentRow(target)).map((values, grid) => whole(values, grid, parts));
    const all = grids.flatMap((cells) => [...cells]);
    const sum = all.reduce((a, b) => a + b, 0);
    return (region) => ({ ...regionSums(grids, region), sum, cells: all.length });
  });
  const heading = (text) => Object.assign(make('th', '', text), { scope: 'col' });
  const head = make('tr', '', heading('Region'));
  targets.forEach((target) => {
    const name = targets.length > 1 ? `, ${isolated(nameOf(target))}` : '';
    head.append(heading(`Share${name}`), heading('Mean'), heading('Density'));
  });
  const body = make('tbody', '', ...data.regions.map((_, region) => regionRow(region, columns)));
  byId('regions').replaceChildren(make('thead', '', head), body);
}

const tokenElements = [...document.querySelectorAll('.token[data-text]')];
const gridElements = [...document.querySelectorAll('.token[data-grid]')];

function drawText() {
  const found = textOf(primary(), state.method);
  drawStrongest(found);
  drawTemplate(found);
  if (byId('sequence').open) shadeTokens(primary(), found);
}

/** Whether a token of text takes part: those of the template only where the reader wants them. */
function isShown(index) {
  return state.template || !data.textTemplate[index];
}

function shadeTokens(target, found) {
  const shown = found ? found.values.map((value, index) => (isShown(index) ? Math.abs(value) : 0)) : [];
  const largest = shown.reduce((a, b) => Math.max(a, b), 0);
  // Square root: beside a first token that draws most of the attention, the others would not be seen.
  tokenElements.forEach((element, index) => {
    element.style.setProperty('--share', largest > 0 ? Math.sqrt(shown[index] / largest) : 0);
    const position = data.textPositions[index];
    const [start, end] = data.targets[target].positions;
    element.classList.toggle('self', position >= start && position < end);
  });
  const row = rowIndex(target, state.method, -1);
  gridElements.forEach((element) => element.style.setProperty('--share', gridShare(row, Number(element.dataset.grid)) ?? 0));
}

function drawStrongest(found) {
  const { values, total } = found ?? { values: [], total: 0 };
  const order = [...values.keys()].filter((index) => values[index] !== 0 && isShown(index));
  order.sort((a, b) => Math.abs(values[b]) - Math.abs(values[a]));
  const items = order.slice(0, 6).map((index) => {
    const text = data.textTokens[index].replaceAll('\n', '↵').trim() || '(space)';
    const part = Math.abs(values[index] / values[order[0]]);
    const sign = values[index] < 0 ? '−' : '';
    return make('li', '', make('bdi', '', text), meter(part, false), sign + percent(Math.abs(values[index]) / total));
  });
  const none = found ? 'no text before this word contributed' : `no values: ${missing(primary(), state.method, -1)}`;
  byId('strongest').replaceChildren(...(items.length > 0 ? items : [make('li', 'none', none)]));
  byId('strongest-hint').textContent = items.length > 0 ? `Percent: of ${quantityOf()}${data.pictures.length > 0 ? ', pictures included' : ''}.` : '';
}

/** What `<bos>` and the other tokens of the template draw: named once, apart. */
function drawTemplate(found) {
  const sum = found ? found.values.reduce((all, value, index) => (data.textTemplate[index] ? all + Math.abs(value) : all), 0) : 0;
  const share = found && found.total > 0 ? sum / found.total : null;
  const names = data.textTemplate.some((is) => is) && share !== null;
  byId('template-share').textContent = names && !state.template
    ? `Not listed: <bos> and other tokens of the chat template, ${percent(share)} of ${quantityOf()}.`
    : '';
}

function listenToTokens() {
  byId('sequence').addEventListener('toggle', drawText);
  byId('template-field').hidden = !data.textTemplate.some((is) => is);
  byId('template').checked = state.template;
  byId('template').addEventListener('change', ({ target }) => update({ template: target.checked }));
  byId('tokens').addEventListener('pointerover', (event) => {
    const token = event.target.closest('.token');
    if (token) byId('token-readout').textContent = tokenText(token);
  });
}

function tokenText({ dataset }) {
  const target = primary();
  const found = textOf(target, state.method);
  if (!found) return `No value: ${missing(target, state.method, -1)}.`;
  if (dataset.grid !== undefined) {
    return `Picture: ${percent(gridShare(rowIndex(target, state.method, -1), Number(dataset.grid)))} of ${quantityOf()}`;
  }
  const value = found.values[dataset.text];
  const token = isolated(data.textTokens[dataset.text].replaceAll('\n', '↵'));
  const share = found.total > 0 ? Math.abs(value) / found.total : null;
  return `Position ${data.textPositions[dataset.text]} “${token}”: value ${number(value)}, ${percent(share)} of ${quantityOf()}`;
}

const thumbnails = [];

function buildFilmstrip() {
  const strip = byId('filmstrip');
  strip.hidden = places.length < 2;
  if (strip.hidden) return;
  places.forEach((place) => {
    const canvas = make('canvas');
    Object.assign(canvas, { width: 224, height: 148 });
    const share = make('span', 'share');
    const slices = place.volume === null ? [] : [make('span', 'share', `${place.pictures.length} slices`)];
    const button = make('button', '', canvas, make('bdi', 'name', place.name), ...slices, share);
    button.type = 'button';
    button.addEventListener('click', () => showPicture(pictureOf(place)));
    strip.append(button);
    thumbnails.push({ place, button, canvas, share });
  });
}

/** What stands for a series: the slice that was shown last, at first the one with the largest part. */
function pictureOf({ pictures, volume }) {
  if (volume === null) return pictures[0];
  if (lastShown[volume] === null) {
    const shares = sliceShares(state.last, volume);
    const slice = shares ? topSlices(shares, 1)[0] : Math.floor(pictures.length / 2);
    lastShown[volume] = pictures[slice];
  }
  return lastShown[volume];
}

function drawFilmstrip() {
  thumbnails.forEach(({ place, button, canvas, share }) => {
    button.setAttribute('aria-pressed', String(place.pictures.includes(state.picture)));
    button.title = `Its share of ${quantityOf()}`;
    share.textContent = shownTargets().map((target) => percent(placeShare(currentRow(target), place.pictures))).join(' | ');
    drawThumbnail(canvas, pictureOf(place));
  });
}

function drawThumbnail(canvas, index) {
  const { width, height } = data.pictures[index];
  const scale = Math.min(canvas.width / width, canvas.height / height);
  const box = [(canvas.width - width * scale) / 2, (canvas.height - height * scale) / 2, width * scale, height * scale];
  const context = canvas.getContext('2d');
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (images[index].complete) context.drawImage(images[index], ...box);
  if (!state.original && panels[0].map) context.drawImage(heat(panels[0].map, index, state, 96), ...box);
}
