// A panel: heading, picture with heat, colour bar.

const images = data.pictures.map((picture) => {
  const image = new Image();
  image.onload = () => update({});
  image.src = picture.source;
  return image;
});

const panels = [newPanel(), newPanel()];

function newPanel() {
  const word = make('bdi', 'stage-word');
  const sub = make('span', 'stage-sub');
  const canvas = make('canvas', 'view');
  canvas.tabIndex = 0;
  canvas.setAttribute('role', 'application');
  canvas.setAttribute('aria-roledescription', 'picture with map');
  const [low, high] = [make('bdi'), make('bdi')];
  const bar = make('canvas');
  Object.assign(bar, { width: 511, height: 1 });
  const foot = make('div', 'bar', low, bar, high);
  const figure = make('figure', 'stage', make('figcaption', 'stage-head', word, sub), canvas, foot);
  byId('stages').append(figure);
  return { figure, word, sub, canvas, low, high, bar, foot, heat: null, key: '', map: null };
}

/** Where the picture lies in a canvas of this size: pixels of the canvas per pixel of the picture, and its corner. */
function geometry(width, height) {
  const picture = data.pictures[state.picture];
  const scale = Math.min(width / picture.width, height / picture.height) * state.zoom;
  return {
    scale,
    left: width / 2 - state.x * picture.width * scale,
    top: height / 2 - state.y * picture.height * scale,
  };
}

function drawPanels() {
  if (data.pictures.length === 0) return;
  const shown = shownPanels();
  panels.forEach((panel, index) => {
    panel.figure.hidden = index >= shown.length;
    if (index < shown.length) drawPanel(panel, shown[index]);
  });
}

function drawPanel(panel, { first, second }) {
  refreshHeat(panel, first, second);
  label(panel, first, second);
  drawBar(panel, first, second);
  const { canvas } = panel;
  const picture = data.pictures[state.picture];
  // A panorama keeps a stage that can be pointed at.
  panel.figure.style.setProperty('--ratio', Math.min(2.2, Math.max(0.7, picture.width / picture.height)));
  canvas.classList.toggle('zoomed', state.zoom > 1);
  const density = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((side) => Math.round(side * density));
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  paint(canvas.getContext('2d'), panel, width, height);
}

/** Computes heat only when something that it depends on has changed. */
function refreshHeat(panel, first, second) {
  const { method, layer, picture, opacity, threshold, colormap, smooth, common } = state;
  const key = [first, second, method, layer, picture, opacity, threshold, colormap, smooth, common].join();
  if (panel.key === key) return;
  panel.map = second === null ? mapOf(first, state) : differenceOf(first, second, state);
  panel.heat = heat(panel.map, picture, state);
  panel.key = key;
}

function paint(context, panel, width, height) {
  const picture = data.pictures[state.picture];
  const { scale, left, top } = geometry(width, height);
  const box = [left, top, picture.width * scale, picture.height * scale];
  context.fillStyle = '#000';
  context.fillRect(0, 0, width, height);
  context.imageSmoothingEnabled = scale < 3;
  context.imageSmoothingQuality = 'high';
  const image = images[state.picture];
  if (image.complete && image.naturalWidth > 0) context.drawImage(image, ...box);
  if (state.original) return;
  context.imageSmoothingEnabled = state.smooth;
  context.drawImage(panel.heat, ...box);
  context.save();
  context.beginPath();
  context.rect(...box);
  context.clip();
  eachGridHere((grid, index) => {
    if (!state.smooth) drawCellLines(context, shownGrid(index), scale, left, top);
    if (state.region !== null) outlineRegion(context, grid, index, scale, left, top);
  });
  if (state.cell) outlineCell(context, scale, left, top);
  context.restore();
}

function eachGridHere(visit) {
  data.grids.forEach((grid, index) => {
    if (grid.picture === state.picture) visit(grid, index);
  });
}

/** The rectangle of a cell in canvas pixels. */
function cellBox(grid, row, column, scale, left, top) {
  const [x0, y0, x1, y1] = grid.placement;
  const [w, h] = [(x1 - x0) / grid.columns, (y1 - y0) / grid.rows];
  return [left + (x0 + column * w) * scale, top + (y0 + row * h) * scale, w * scale, h * scale];
}

function drawCellLines(context, grid, scale, left, top) {
  const [x, y, w, h] = cellBox(grid, 0, 0, scale, left, top);
  if (Math.min(w, h) < 6) return; // lines would hide what they part
  context.beginPath();
  for (let column = 0; column <= grid.columns; column += 1) {
    context.moveTo(x + column * w, y);
    context.lineTo(x + column * w, y + grid.rows * h);
  }
  for (let row = 0; row <= grid.rows; row += 1) {
    context.moveTo(x, y + row * h);
    context.lineTo(x + grid.columns * w, y + row * h);
  }
  context.lineWidth = 1;
  context.strokeStyle = 'rgb(255 255 255 / 0.18)';
  context.stroke();
}

function outlineCell(context, scale, left, top) {
  const grid = shownGrid(state.cell.grid);
  if (grid.picture !== state.picture) return;
  const row = Math.floor(state.cell.index / grid.columns);
  const box = cellBox(grid, row, state.cell.index % grid.columns, scale, left, top);
  context.lineWidth = 3;
  context.strokeStyle = 'rgb(0 0 0 / 0.7)';
  context.strokeRect(...box);
  context.lineWidth = 1.5;
  context.strokeStyle = '#fff';
  context.strokeRect(...box);
}

/** Lines where the weight of a region passes one half. */
function outlineRegion(context, grid, index, scale, left, top) {
  const cells = weights[state.region][index];
  if (!cells) return;
  const inside = (row, column) =>
    row >= 0 && column >= 0 && row < grid.rows && column < grid.columns && cells[row * grid.columns + column] >= 128;
  context.beginPath();
  for (let row = 0; row <= grid.rows; row += 1) {
    for (let column = 0; column <= grid.columns; column += 1) {
      const [x, y, w, h] = cellBox(grid, row, column, scale, left, top);
      const here = inside(row, column);
      if (here !== inside(row - 1, column)) { context.moveTo(x, y); context.lineTo(x + w, y); }
      if (here !== inside(row, column - 1)) { context.moveTo(x, y); context.lineTo(x, y + h); }
    }
  }
  context.lineWidth = 2;
  context.strokeStyle = '#7fe0ff';
  context.stroke();
}

function label(panel, first, second) {
  const text = (target) => data.targets[target].text.trim() || '(space)';
  panel.word.textContent = second === null ? text(first) : `${isolated(text(first))} − ${isolated(text(second))}`;
  panel.sub.textContent = second === null ? subtitle(first) : 'difference';
  const picture = isolated(data.pictures[state.picture].name);
  const what = second === null ? 'map of' : 'difference of the maps of';
  panel.canvas.setAttribute('aria-label', `${picture} with the ${what} ${panel.word.textContent}. Arrow keys walk the cells.`);
}

function subtitle(target) {
  const { probability: p, positions } = data.targets[target];
  const parts = [`${percent(pictureShare(currentRow(target)))} in the picture${data.pictures.length > 1 ? 's' : ''}`];
  if (p !== null) parts.push(`probability ${probability(p)}`);
  parts.push(positions[1] - positions[0] === 1 ? `token ${positions[0]}` : `tokens ${positions[0]}–${positions[1] - 1}`);
  return parts.join(' · ');
}

function drawBar(panel, first, second) {
  const { max, signed } = panel.map;
  const context = panel.bar.getContext('2d');
  const image = context.createImageData(511, 1);
  const table = inks(signed, { ...state, opacity: 100, threshold: 0 });
  for (let i = 0; i < 511; i += 1) {
    const level = signed ? i : Math.round((i / 510) * 255);
    const part = signed ? Math.abs(i - 255) / 255 : i / 510;
    image.data.set(table.subarray(4 * level, 4 * level + 3), 4 * i);
    image.data[4 * i + 3] = part * 100 < state.threshold ? 40 : signed ? 255 * part : 255;
  }
  context.putImageData(image, 0, 0);
  if (!signed) {
    panel.low.textContent = '0';
    panel.high.textContent = state.common ? `${number(max)} (common)` : number(max);
    return;
  }
  const end = state.common ? number(max) : `${number(100 * max)} points`;
  panel.low.textContent = `− ${end}, more for ${isolated(data.targets[second].text.trim())}`;
  panel.high.textContent = `+ ${end}, more for ${isolated(data.targets[first].text.trim())}`;
}
