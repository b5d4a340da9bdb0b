// What follows the shown words: their details, regions, text tokens and the strip of pictures.

function definition(name, value) {
  return make('div', '', make('dt', '', name), make('dd', '', value));
}

let detailsFor = '';

/** Redraws tables only when the words, the method or the layer change: pointer moves come many times a second. */
function drawTables() {
  const key = [shownTargets(), state.method, state.layer].join();
  if (key === detailsFor) return;
  detailsFor = key;
  byId('details').replaceChildren(...shownTargets().map(detailsOf));
  drawRegions();
  drawText();
}

function detailsOf(target) {
  const { text, probability: p, positions, facts } = data.targets[target];
  const row = currentRow(target);
  const self = textOf(target, state.method).self;
  const list = make('dl', 'facts');
  if (p !== null) list.append(definition('Probability', probability(p)));
  list.append(definition('In the picture', percent(pictureShare(row))));
  if (data.pictures.length > 1) {
    data.pictures.forEach(({ name }, index) => list.append(definition(isolated(name), percent(pictureShare(row, index)))));
  }
  list.append(definition('Tokens', positions[1] - positions[0] === 1 ? `${positions[0]}` : `${positions[0]}–${positions[1] - 1}`));
  if (state.layer < 0 && self > 0) list.append(definition('Self term', number(self)));
  facts.forEach(([name, value]) => list.append(definition(name, value)));
  const name = make('p', 'word-name', text.trim() || '(space)');
  name.dir = 'auto';
  return make('div', '', name, list);
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

function regionCells({ value, area, sum, cells }, second) {
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
  const columns = targets.map((target) => {
    const { parts } = data.methods[state.method];
    const grids = gridsOf(currentRow(target)).map((values, grid) => whole(values, grid, parts));
    const all = grids.flatMap((cells) => [...cells]);
    const sum = all.reduce((a, b) => a + b, 0);
    return (region) => ({ ...regionSums(grids, region), sum, cells: all.length });
  });
  const heading = (text) => Object.assign(make('th', '', text), { scope: 'col' });
  const head = make('tr', '', heading('Region'));
  targets.forEach((target) => {
    const name = targets.length > 1 ? `, ${isolated(data.targets[target].text.trim())}` : '';
    head.append(heading(`Share${name}`), heading('Mean'), heading('Density'));
  });
  const body = make('tbody', '', ...data.regions.map((_, region) => regionRow(region, columns)));
  byId('regions').replaceChildren(make('thead', '', head), body);
}

const tokenElements = [...document.querySelectorAll('.token[data-text]')];
const gridElements = [...document.querySelectorAll('.token[data-grid]')];

function drawText() {
  const target = primary();
  const { values, largest, total } = textOf(target, state.method);
  drawStrongest(values, largest, total);
  if (byId('sequence').open) shadeTokens(target, values, largest);
}

function shadeTokens(target, values, largest) {
  // Square root: beside a first token that draws most of the attention, the others would not be seen.
  tokenElements.forEach((element, index) => {
    element.style.setProperty('--share', largest > 0 ? Math.sqrt(values[index] / largest) : 0);
    const position = data.textPositions[index];
    const [start, end] = data.targets[target].positions;
    element.classList.toggle('self', position >= start && position < end);
  });
  const row = rowIndex(target, state.method, -1);
  gridElements.forEach((element) => element.style.setProperty('--share', gridShare(row, Number(element.dataset.grid))));
}

function drawStrongest(values, largest, total) {
  const order = [...values.keys()].filter((index) => values[index] > 0);
  order.sort((a, b) => values[b] - values[a]);
  const items = order.slice(0, 6).map((index) => {
    const text = data.textTokens[index].replaceAll('\n', '↵');
    return make('li', '', make('bdi', '', text), meter(values[index] / largest, false), percent(values[index] / total));
  });
  byId('strongest').replaceChildren(...(items.length > 0 ? items : [make('li', '', 'no text before this word counts')]));
}

function listenToTokens() {
  byId('sequence').addEventListener('toggle', drawText);
  byId('tokens').addEventListener('pointerover', (event) => {
    const token = event.target.closest('.token');
    if (token) byId('token-readout').textContent = tokenText(token);
  });
}

function tokenText({ dataset }) {
  const target = primary();
  if (dataset.grid !== undefined) {
    return `Picture: ${percent(gridShare(rowIndex(target, state.method, -1), Number(dataset.grid)))} of the relevancy`;
  }
  const { values, total } = textOf(target, state.method);
  const value = values[dataset.text];
  const token = isolated(data.textTokens[dataset.text].replaceAll('\n', '↵'));
  return `Token ${data.textPositions[dataset.text]} “${token}”: value ${number(value)}, ${percent(total > 0 ? value / total : 0)} of the relevancy`;
}

const thumbnails = [];

function buildFilmstrip() {
  const strip = byId('filmstrip');
  strip.hidden = data.pictures.length < 2;
  if (strip.hidden) return;
  data.pictures.forEach(({ name }, index) => {
    const canvas = make('canvas');
    Object.assign(canvas, { width: 224, height: 148 });
    const share = make('span', 'share');
    const button = make('button', '', canvas, make('bdi', 'name', name), share);
    button.type = 'button';
    button.addEventListener('click', () => showPicture(index));
    strip.append(button);
    thumbnails.push({ button, canvas, share });
  });
}

function drawFilmstrip() {
  thumbnails.forEach(({ button, canvas, share }, index) => {
    button.setAttribute('aria-pressed', String(index === state.picture));
    share.textContent = shownTargets().map((target) => percent(pictureShare(currentRow(target), index))).join(' | ');
    drawThumbnail(canvas, index);
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
