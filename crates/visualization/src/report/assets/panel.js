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
  const note = make('p', 'stage-note');
  const figure = make('figure', 'stage', make('figcaption', 'stage-head', word, sub), canvas, make('div', 'stage-foot', foot, note));
  byId('stages').append(figure);
  return { figure, word, sub, canvas, low, high, bar, foot, note, heat: null, contours: [], levels: [], key: '', map: null };
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
  drawPointed(canvas.getContext('2d'), width, height);
}

/** Computes heat and lines only when something that they depend on has changed. */
function refreshHeat(panel, first, second) {
  const { method, layer, picture, opacity, threshold, colormap, smooth, common, contours } = state;
  const key = [first, second, method, layer, picture, opacity, threshold, colormap, smooth, common, ...contours].join();
  if (panel.key === key) return;
  const map = second === null ? mapOf(first, state) : differenceOf(first, second, state);
  panel.map = map;
  panel.heat = map && heat(map, picture, state);
  panel.levels = map ? contourLevels(map, picture, contours) : [];
  panel.contours = panel.levels.length > 0 ? contourPath(map, picture, panel.levels, smooth) : [];
  panel.key = key;
}

/** The rectangle of the picture in a canvas of this size, and pixels of the canvas per pixel of the picture. */
function pictureBox(width, height) {
  const picture = data.pictures[state.picture];
  const { scale, left, top } = geometry(width, height);
  return { scale, box: [left, top, picture.width * scale, picture.height * scale] };
}

/** Picture, heat and marks, without what is pointed at. */
function paint(context, panel, width, height) {
  const { scale, box } = pictureBox(width, height);
  context.fillStyle = '#000';
  context.fillRect(0, 0, width, height);
  context.imageSmoothingEnabled = scale < 3;
  context.imageSmoothingQuality = 'high';
  const image = images[state.picture];
  if (image.complete && image.naturalWidth > 0) context.drawImage(image, ...box);
  if (!state.original && panel.heat) {
    context.imageSmoothingEnabled = state.smooth;
    context.drawImage(panel.heat, ...box);
  }
  const stroke = Math.max(1, Math.min(width, height) / 320);
  const { letters, outlines } = data.pictures[state.picture];
  inside(context, box, () => {
    if (!state.original && panel.map) {
      if (!state.smooth) eachGridHere((_, index) => drawCellLines(context, shownGrid(index), scale, box[0], box[1]));
      drawContours(context, panel.contours, box, stroke);
    }
    if (state.marks && !state.original) outlines.forEach((outline) => drawOutline(context, outline, box, scale, stroke));
  });
  if (state.marks) drawLetters(context, letters, box, [width, height], stroke);
}

/** The region and the cell that the reader points at. */
function drawPointed(context, width, height) {
  if (state.original) return;
  const { scale, box } = pictureBox(width, height);
  inside(context, box, () => {
    if (state.region !== null) eachGridHere((grid, index) => outlineRegion(context, grid, index, scale, box[0], box[1]));
    if (state.cell) outlineCell(context, scale, box[0], box[1]);
  });
}

function inside(context, box, draw) {
  context.save();
  context.beginPath();
  context.rect(...box);
  context.clip();
  draw();
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

/** The name of a target among others. */
function nameOf(target) {
  return data.targets[target].text.trim() || '(space)';
}

function label(panel, first, second) {
  panel.word.textContent = second === null ? nameOf(first) : `${isolated(nameOf(first))} − ${isolated(nameOf(second))}`;
  panel.sub.textContent = second === null ? subtitle(first) : 'difference';
  const picture = pictureName(state.picture);
  const slices = shownSlice() ? ' Page up and page down go five slices on.' : '';
  const what = second === null ? 'map of' : 'difference of the maps of';
  panel.canvas.setAttribute('aria-label', `${picture} with the ${what} ${panel.word.textContent}. Arrow keys move between cells.${slices}`);
}

function subtitle(target) {
  const { probability: p, positions } = data.targets[target];
  const share = pictureShare(currentRow(target));
  const where = data.pictures.length > 1 ? 'the pictures' : 'the picture';
  const parts = share === null ? [] : [`${percent(share)} of ${quantityOf()} is in ${where}`];
  if (p !== null) parts.push(`probability ${probability(p)}`);
  parts.push(positionText(positions));
  return parts.join(' · ');
}

/** What the shares of the method are parts of. */
function quantityOf() {
  return data.methods[state.method].signs ? 'all magnitude' : 'all relevancy';
}

function positionText([start, end]) {
  return end - start === 1 ? `position ${start}` : `positions ${start} to ${end - 1}`;
}

/** Why there is no heat over the picture; empty where there is some. */
function whyEmpty(panel, targets) {
  const without = targets.find((target) => missing(target, state.method, state.layer) !== null);
  if (without !== undefined) return `No map for ${isolated(nameOf(without))}: ${missing(without, state.method, state.layer)}.`;
  const silent = targets.find((target) => !speaks(currentRow(target)));
  if (silent !== undefined) return `Nothing in pictures or text speaks for ${isolated(nameOf(silent))} here: there is no map.`;
  return panel.map.max > 0 ? '' : 'There is no relevancy in the pictures.';
}

/** Around which cells the contour lines run. */
function contourText({ map, levels }) {
  if (state.contours.length === 0 || !map) return '';
  if (map.signed) return 'No contour lines: the map is signed.';
  const hottest = (quantiles) => quantiles.map((q) => `${Number((100 * (1 - q)).toFixed(2))} %`).join(', ');
  const drawn = levels.map(({ q }) => q);
  const left = state.contours.filter((q) => !drawn.includes(q));
  const parts = drawn.length > 0 ? [`Contour lines: around the hottest ${hottest(drawn)} of the cells.`] : [];
  if (left.length > 0) parts.push(`None around the hottest ${hottest(left)}: below a tenth of the largest value.`);
  return parts.join(' ');
}

function drawBar(panel, first, second) {
  const targets = second === null ? [first] : [first, second];
  const why = whyEmpty(panel, targets);
  panel.note.textContent = why || contourText(panel);
  panel.note.classList.toggle('why', why !== '');
  panel.foot.hidden = why !== '';
  if (why) return;
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
  const of = state.common ? ' (shared by all words)' : shownSlice() ? ' (all slices)' : '';
  const end = `${number(max)}${of}`;
  if (!signed) {
    panel.low.textContent = '0';
    panel.high.textContent = end;
  } else if (second === null) {
    const [below, above] = data.methods[state.method].signs;
    panel.low.textContent = `−${end}, ${below}`;
    panel.high.textContent = `+${end}, ${above}`;
  } else {
    const most = state.common ? number(max) : `${number(100 * max)} percentage points`;
    panel.low.textContent = `−${most}, more for ${isolated(nameOf(second))}`;
    panel.high.textContent = `+${most}, more for ${isolated(nameOf(first))}`;
  }
}
