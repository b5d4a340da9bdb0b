// The slices of a series: a slider, the share of each as a bar over it, and a list of the largest.

function listenToSlices() {
  byId('slice').addEventListener('input', ({ target }) => showSlice(Number(target.value)));
  byId('slice').addEventListener('keydown', (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || !(event.key in PAGES)) return;
    showSlice(shownSlice().slice + PAGES[event.key]);
    event.preventDefault();
  });
  const bars = byId('slice-bars');
  const scrub = (event) => {
    const { left, width } = bars.getBoundingClientRect();
    const { slices } = data.volumes[shownSlice().volume];
    showSlice(Math.floor(((event.clientX - left) / width) * slices.length));
  };
  bars.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    bars.setPointerCapture(event.pointerId);
    scrub(event);
  });
  bars.addEventListener('pointermove', (event) => { if (event.buttons & 1) scrub(event); });
}

/** As a slider of any page has it: up is more. */
const PAGES = { PageUp: 5, PageDown: -5 };

let barsFor = '';

function drawSlices() {
  const at = shownSlice();
  byId('slices').hidden = byId('slices-card').hidden = at === null;
  if (!at) return;
  lastShown[at.volume] = state.picture;
  const { name, slices } = data.volumes[at.volume];
  const key = [at.volume, state.method, state.layer, ...shownTargets()].join();
  if (key !== barsFor) {
    barsFor = key;
    const shares = shownTargets().map((target) => sliceShares(target, at.volume));
    byId('slices-name').textContent = name;
    byId('slices').style.setProperty('--n', slices.length);
    drawBars(at.volume, shares);
    drawTop(at.volume, shares);
  }
  const slider = byId('slice');
  slider.max = slices.length - 1;
  slider.value = at.slice;
  slider.setAttribute('aria-valuetext', sliceText(at));
  byId('slice-value').textContent = sliceText(at);
  byId('slice-here').setAttribute('x', at.slice);
  byId('slices-card').querySelectorAll('button').forEach((button) => {
    button.setAttribute('aria-pressed', String(Number(button.dataset.slice) === at.slice));
  });
}

/** A column for each slice; two words share it. */
function drawBars(volume, shares) {
  const { slices } = data.volumes[volume];
  const largest = shares.reduce((most, of) => Math.max(most, ...(of ?? [])), 0);
  const bars = byId('slice-bars');
  bars.setAttribute('viewBox', `0 0 ${slices.length} 100`);
  const here = shape('rect', 'here', { id: 'slice-here', y: 0, width: 1, height: 100 });
  const drawn = shares.flatMap((of, word) => (of ? columnsOf(of, word, shares.length, largest) : []));
  const hits = slices.map((_, slice) => {
    const parts = shares.map((of) => percent(of ? of[slice] : null)).join(' | ');
    const title = shape('title', '', {}, `${sliceText({ volume, slice })}: ${parts}`);
    return shape('rect', 'hit', { x: slice, y: 0, width: 1, height: 100 }, title);
  });
  bars.replaceChildren(...drawn, here, ...hits);
  const names = shownTargets().map((target, word) => {
    const top = shares[word] ? topSlices(shares[word], 1) : [];
    const most = top.length > 0 ? `largest ${percent(shares[word][top[0]])} in ${sliceText({ volume, slice: top[0] })}` : 'none';
    return `${isolated(nameOf(target))}: ${most}`;
  });
  bars.setAttribute('aria-label', `Share of the relevancy by slice. ${names.join('; ')}`);
}

function columnsOf(shares, word, words, largest) {
  const top = new Set(topSlices(shares));
  const width = 0.84 / words;
  return shares.map((share, slice) => {
    const height = largest > 0 && share > 0 ? Math.max(1.5, (96 * share) / largest) : 0;
    const name = `share${word > 0 ? ' two' : ''}${top.has(slice) ? ' top' : ''}`;
    return shape('rect', name, { x: slice + 0.08 + word * width, y: 100 - height, width, height });
  });
}

/** Lists of buttons, one a word. */
function drawTop(volume, shares) {
  const words = shownTargets();
  const lists = words.map((target, word) => {
    const items = shares[word] ? topSlices(shares[word]).map((slice) => topSlice(volume, slice, shares[word], word)) : [];
    const none = make('li', 'none', 'no relevancy in these slices');
    const list = make('ol', 'top-slices', ...(items.length > 0 ? items : [none]));
    return words.length > 1 ? make('div', '', freely(make('p', 'hint', nameOf(target))), list) : list;
  });
  byId('top-slices').replaceChildren(...lists);
  const pictures = data.volumes[volume].slices.map(({ picture }) => picture);
  const wholes = words.map((target) => percent(placeShare(currentRow(target), pictures))).join(' | ');
  const what = data.methods[state.method].signs ? 'magnitude' : 'relevancy';
  byId('slices-hint').textContent = `The slices with the largest shares of the ${what} in this series, which has ${wholes} of ${quantityOf()}.`;
}

function topSlice(volume, slice, shares, word) {
  const { label, position } = data.volumes[volume].slices[slice];
  const name = make('span', '', make('bdi', '', label.trim() || `slice ${slice + 1}`));
  if (position !== null) name.append(make('span', 'hint', ` ${millimetres(position)}`));
  const bar = meter(shares[slice] / Math.max(...shares), word > 0);
  const button = make('button', '', name, bar, make('span', 'figure', percent(shares[slice])));
  button.type = 'button';
  button.dataset.slice = slice;
  button.addEventListener('click', () => showSlice(slice));
  return make('li', '', button);
}
