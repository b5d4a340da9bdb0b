// Projections of the map of a series: of each line the value of the largest magnitude, along each of the three axes.

/** The longer side of the lattice of a slice is twice its cells, but no more than this: hundreds of slices are projected at once. */
const PROJECTED = 64;
/** Places along the slices. */
const PROJECTED_DEPTH = 256;

const projections = [newProjections(), newProjections()];

function newProjections() {
  const word = make('p', 'hint');
  word.dir = 'auto';
  const views = Array.from({ length: 3 }, () => {
    const canvas = make('canvas');
    canvas.setAttribute('role', 'img');
    const name = make('span');
    return { canvas, name, figure: make('figure', '', make('figcaption', '', name), canvas), image: null };
  });
  const row = make('div', 'projections', ...views.map(({ figure }) => figure));
  const box = make('div', '', word, row);
  byId('projections').append(box);
  const found = { box, word, views, key: '', nearest: null };
  views.forEach((view, index) => {
    const go = (event) => goToProjected(found, index, event);
    view.canvas.addEventListener('pointerdown', (event) => {
      if (event.button !== 0) return;
      view.canvas.setPointerCapture(event.pointerId);
      go(event);
    });
    // The first is no axis of slices: following a pointer over it would jump about.
    if (index > 0) view.canvas.addEventListener('pointermove', (event) => { if (event.buttons & 1) go(event); });
  });
  return found;
}

function drawProjections() {
  const at = shownSlice();
  if (!at) return;
  const volume = data.volumes[at.volume];
  const shown = shownPanels();
  projections.forEach((found, index) => {
    found.box.hidden = index >= shown.length;
    if (found.box.hidden) return;
    refreshProjections(found, panels[index], shown[index], at.volume);
    found.word.textContent = shown.length > 1 ? panels[index].word.textContent : '';
    found.views.forEach((view, number) => drawProjection(view, number, volume, at.slice));
  });
  const scale = volume.toScale ? '' : ' Not to scale: slices are drawn at equal distances.';
  byId('projections-hint').textContent =
    `Projections of the map, not of the pictures: each point is the largest value along a line through all slices. The first lies over the middle slice, dimmed. Line: the shown slice. Click to go to a slice.${scale}`;
}

/** Projects only when something but the shown slice has changed. */
function refreshProjections(found, { map }, { first, second }, volume) {
  const { method, layer, opacity, threshold, colormap, smooth, common } = state;
  const key = [volume, first, second, method, layer, opacity, threshold, colormap, smooth, common].join();
  if (found.key === key) return;
  found.key = key;
  found.nearest = null;
  found.views.forEach((view) => { view.image = null; });
  if (!map) return;
  const { through, columns, rows, width, height, nearest } = project(map, data.volumes[volume]);
  const { edges, sides } = data.volumes[volume];
  found.nearest = { slices: nearest, width, height };
  found.views[0].image = coloured({ values: through, width, height }, map, state);
  [[columns, width], [rows, height]].forEach(([values, length], side) => {
    found.views[side + 1].image = coloured(laidOut(values, length, edges, sides[side]), map, state);
  });
}

/** Lattice of a slice: fine enough for the cells that the picture has across or down. */
function latticeOf(picture, parts) {
  const { width, height } = data.pictures[picture];
  const cells = data.grids.filter((grid) => grid.picture === picture).flatMap(({ rows, columns, placement: [x0, y0, x1, y1] }) =>
    [(columns * width) / (x1 - x0), (rows * height) / (y1 - y0)]);
  return Math.min(PROJECTED, Math.max(2, Math.ceil(2 * parts * Math.max(1, ...cells))));
}

/** The three projections on the lattice of a slice, and for each point of the first which slice it is of. */
function project(map, { slices }) {
  const side = Math.max(...slices.map(({ picture }) => latticeOf(picture, map.parts)));
  const fields = slices.map(({ picture }) => field(map, picture, state.smooth, side));
  const { width, height } = fields[0];
  const empty = (length) => new Float64Array(length).fill(NaN);
  const through = empty(width * height);
  const columns = empty(slices.length * width);
  const rows = empty(slices.length * height);
  const nearest = new Int32Array(width * height);
  const wins = (value, before) => !(Math.abs(before) >= Math.abs(value));
  fields.forEach(({ values }, slice) => {
    for (let at = 0; at < values.length; at += 1) {
      const value = values[at];
      if (Number.isNaN(value)) continue;
      const column = slice * width + (at % width);
      const row = slice * height + Math.floor(at / width);
      if (wins(value, through[at])) { through[at] = value; nearest[at] = slice; }
      if (wins(value, columns[column])) columns[column] = value;
      if (wins(value, rows[row])) rows[row] = value;
    }
  });
  return { through, columns, rows, width, height, nearest };
}

/** Rows of slices spread over their places along the stack; where several lie in one the larger magnitude counts. */
function laidOut(values, length, edges, { down, reversed }) {
  const out = new Float64Array(PROJECTED_DEPTH * length).fill(NaN);
  for (let slice = 0; slice + 1 < edges.length; slice += 1) {
    const start = Math.min(PROJECTED_DEPTH - 1, Math.round(edges[slice] * PROJECTED_DEPTH));
    const end = Math.max(start + 1, Math.round(edges[slice + 1] * PROJECTED_DEPTH));
    for (let place = start; place < end; place += 1) {
      const depth = reversed ? PROJECTED_DEPTH - 1 - place : place;
      for (let i = 0; i < length; i += 1) {
        const at = down ? depth * length + i : i * PROJECTED_DEPTH + depth;
        const value = values[slice * length + i];
        if (!(Math.abs(out[at]) >= Math.abs(value))) out[at] = value;
      }
    }
  }
  return { values: out, width: down ? length : PROJECTED_DEPTH, height: down ? PROJECTED_DEPTH : length };
}

/** Where a slice lies along a side, from 0 to 1 in the order of the drawing: its two ends. */
function bandOf(slice, edges, reversed) {
  const ends = [edges[slice], edges[slice + 1]];
  return reversed ? ends.map((end) => 1 - end).reverse() : ends;
}

function drawProjection({ canvas, figure, name, image }, number, volume, slice) {
  const side = number > 0 ? volume.sides[number - 1] : null;
  const [wide, high] = side ? side.size : volume.size;
  figure.style.setProperty('--wide', wide);
  canvas.style.setProperty('--ratio', wide / high);
  name.textContent = side ? side.name : volume.plane;
  canvas.setAttribute('aria-label', `${name.textContent}: projection of the map of ${panels[0].word.textContent}`);
  const density = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((length) => Math.max(1, Math.round(length * density)));
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = canvas.getContext('2d');
  context.globalAlpha = 1;
  context.fillStyle = '#000';
  context.fillRect(0, 0, width, height);
  const middle = volume.slices[Math.floor(volume.slices.length / 2)].picture;
  if (!side && images[middle].complete && images[middle].naturalWidth > 0) {
    context.globalAlpha = 0.5;
    context.drawImage(images[middle], 0, 0, width, height);
    context.globalAlpha = 1;
  }
  context.imageSmoothingEnabled = state.smooth;
  if (image && !state.original) context.drawImage(image, 0, 0, width, height);
  if (side) drawSliceLine(context, bandOf(slice, volume.edges, side.reversed), side.down, width, height, density);
  const letters = side ? side.letters : data.pictures[middle].letters;
  if (state.marks) drawLetters(context, letters, [0, 0, width, height], [width, height], Math.max(0.8 * density, Math.min(width, height) / 240));
}

function drawSliceLine(context, [start, end], down, width, height, density) {
  const at = (start + end) / 2;
  context.beginPath();
  context.moveTo(...(down ? [0, at * height] : [at * width, 0]));
  context.lineTo(...(down ? [width, at * height] : [at * width, height]));
  context.lineWidth = 3 * density;
  context.strokeStyle = 'rgb(0 0 0 / 0.7)';
  context.stroke();
  context.lineWidth = density;
  context.strokeStyle = '#8fdcf2';
  context.stroke();
}

/** A point of a side view is in a slice; one of the first view goes to the slice with the largest value there. */
function goToProjected(found, number, event) {
  const at = shownSlice();
  if (!at) return;
  const { edges, sides } = data.volumes[at.volume];
  const box = found.views[number].canvas.getBoundingClientRect();
  const within = (value) => Math.min(0.999999, Math.max(0, value));
  const [x, y] = [within((event.clientX - box.left) / box.width), within((event.clientY - box.top) / box.height)];
  if (number === 0) {
    if (!found.nearest) return;
    const { slices, width, height } = found.nearest;
    showSlice(slices[Math.floor(y * height) * width + Math.floor(x * width)]);
    return;
  }
  const { down, reversed } = sides[number - 1];
  const along = down ? y : x;
  const place = reversed ? 1 - along : along;
  showSlice(edges.findLastIndex((edge) => edge <= place));
}
