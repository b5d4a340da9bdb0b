// What is left of a score as cells are taken away, drawn from its numbers.

/** The name of a language, not an address: nothing is asked of it. */
const SVG = 'http://www.w3.org/2000/svg';

/** Size of a chart and of the free space around its axes, in its own units. */
const CHART = { width: 280, height: 190, left: 42, right: 12, top: 8, bottom: 38 };

/** What is drawn of values that lie outside 0 and 1, and the free space below and above. */
const [LOWEST, HIGHEST, ROOM] = [-0.5, 1.5, 0.04];

const SHARE_TICKS = [0, 1, 4, 16, 32, 50, 75, 100];
const VALUE_TICKS = [-0.5, 0, 0.5, 1, 1.5];
const DOT = 2.4;

/** A new element of SVG with a class, attributes and children. */
function shape(tag, className, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  if (className) element.setAttribute('class', className);
  Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
  element.append(...children);
  return element;
}

function left(value) {
  return value.toFixed(2).replace(/^-0\.00$/, '0.00').replace('-', '−');
}

function gone(share) {
  return `${Number((100 * share).toFixed(2))}\u00a0%`;
}

/** From 0 to 1, and as far as values of any chart reach further: one scale for all. */
function valueRange(charts) {
  const values = charts.flatMap(({ most, least, uniform, band }) => [most, least, uniform, band.flat()].flat());
  const low = values.reduce((a, b) => Math.min(a, b), 0);
  const high = values.reduce((a, b) => Math.max(a, b), 1);
  return [Math.max(low, LOWEST) - ROOM, Math.min(high, HIGHEST) + ROOM];
}

/** Places of shares and values. The square root: most is decided among the first cells. */
function axesOf([low, high]) {
  const { width, height, top, bottom, right } = CHART;
  const across = width - CHART.left - right;
  const down = height - top - bottom;
  // Far outside is as good as outside: a place without end cannot be drawn.
  const within = (value) => Math.min(10 * HIGHEST, Math.max(10 * LOWEST, value));
  const x = (share) => CHART.left + across * Math.sqrt(share);
  const y = (value) => top + (down * (high - within(value))) / (high - low);
  return { x, y, across, down, range: [low, high] };
}

function pointsOf(places) {
  return places.map(([x, y]) => `${x.toFixed(2)},${y.toFixed(2)}`).join(' ');
}

/** The chart as a drawing; what lies outside of the scale is cut off. */
function removalDrawing(chart, range) {
  const axes = axesOf(range);
  const { fractions, most, least, uniform, band } = chart;
  const { width, height, top } = CHART;
  const name = `What is left as cells are taken away: ${isolated(chart.title)}. ${isolated(chart.summary)}`;
  const drawing = shape('svg', 'removal', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': name });
  const places = (values) => values.map((value, index) => [axes.x(fractions[index]), axes.y(value)]);
  const side = CHART.left - 2 * DOT;
  const box = { x: side, y: top, width: axes.across + 4 * DOT, height: axes.down };
  const curves = shape('svg', '', { ...box, viewBox: Object.values(box).join(' ') });
  if (band.length > 0) {
    const outline = [...places(band.map(([, high]) => high)), ...places(band.map(([low]) => low)).reverse()];
    curves.append(shape('polygon', 'band', { points: pointsOf(outline) }));
  }
  if (uniform.length > 0) curves.append(shape('polyline', 'random', { points: pointsOf(places(uniform)) }));
  [['least', least], ['most', most]].forEach(([className, values]) => {
    const line = places(values);
    const dots = line.map(([x, y]) => shape('circle', className, { cx: x.toFixed(2), cy: y.toFixed(2), r: DOT }));
    curves.append(shape('polyline', className, { points: pointsOf(line) }), ...dots);
  });
  drawing.append(...removalTicks(axes), curves, ...removalHits(chart, axes));
  return drawing;
}

/** Lines behind the curves, numbers and names of both axes. */
function removalTicks({ x, y, across, down, range }) {
  const { top, height } = CHART;
  const bottom = top + down;
  const end = CHART.left + across;
  const shares = SHARE_TICKS.flatMap((share) => {
    const at = x(share / 100);
    return [
      shape('line', '', { x1: at, x2: at, y1: top, y2: bottom }),
      shape('text', 'number', { x: at, y: bottom + 13, 'text-anchor': 'middle' }, String(share)),
    ];
  });
  const values = VALUE_TICKS.filter((value) => range[0] <= value && value <= range[1]).flatMap((value) => [
    shape('line', value === 0 || value === 1 ? 'mark' : '', { x1: CHART.left, x2: end, y1: y(value), y2: y(value) }),
    shape('text', 'number', { x: CHART.left - 6, y: y(value) + 3.6, 'text-anchor': 'end' }, String(value).replace('-', '−')),
  ]);
  const middle = top + down / 2;
  return [
    ...shares,
    ...values,
    shape('text', '', { x: CHART.left + across / 2, y: height - 7, 'text-anchor': 'middle' }, 'share of the cells gone, % (square-root axis)'),
    shape('text', '', { transform: `translate(11 ${middle}) rotate(-90)`, 'text-anchor': 'middle' }, 'what is left'),
  ];
}

/** Where the pointer reads the numbers of a share: as far as it is the nearest. */
function removalHits(chart, { x, down }) {
  const centres = chart.fractions.map(x);
  const between = (index) => (centres[index] + centres[index + 1]) / 2;
  return centres.map((centre, index) => {
    const start = index > 0 ? between(index - 1) : centre - 2 * DOT;
    const end = index < centres.length - 1 ? between(index) : centre + 2 * DOT;
    const title = shape('title', '', {}, numbersOf(chart, index).map(([name, value]) => `${name}: ${value}`).join('\n'));
    return shape('rect', 'hit', { x: start, y: CHART.top, width: end - start, height: down }, title);
  });
}

/** Names and values of everything at one share. */
function numbersOf({ fractions, most, least, uniform, band }, index) {
  const numbers = [
    ['Gone', gone(fractions[index])],
    ['Most relevant first', left(most[index])],
    ['Least relevant first', left(least[index])],
  ];
  if (uniform.length > 0) numbers.push(['Random', left(uniform[index])]);
  if (band.length > 0) numbers.push(['Controls', band[index].map(left).join(' to ')]);
  return numbers;
}

/** What the curves are, as far as there are some. */
function removalLegend(charts) {
  const sign = (...shapes) => shape('svg', 'removal', { viewBox: '0 0 28 12', 'aria-hidden': 'true' }, ...shapes);
  const line = (className) => shape('polyline', className, { points: '0,6 28,6' });
  const dot = (className) => shape('circle', className, { cx: 14, cy: 6, r: DOT });
  const entries = [
    [true, 'most relevant first', [line('most'), dot('most')]],
    [true, 'least relevant first', [line('least'), dot('least')]],
    [charts.some(({ uniform }) => uniform.length > 0), 'random', [line('random')]],
    [charts.some(({ band }) => band.length > 0), 'range of the controls', [shape('rect', 'band', { width: 28, height: 12 })]],
  ];
  const shown = entries.filter(([there]) => there);
  return make('p', 'curve-names', ...shown.map(([, name, shapes]) => make('span', '', sign(...shapes), name)));
}
