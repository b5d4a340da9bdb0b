// What taking cells away says of a map: a badge beside the word opens it.

const SIGNS = { good: '✓', mixed: '◐', poor: '✗', nothing: '–' };

/** Badge and panel of a word; null where there is nothing to show. The panel is filled when it is first seen. */
function evidenceOf(target) {
  const { evidence } = data.targets[target];
  if (!evidence) return null;
  const sign = make('span', 'sign', SIGNS[evidence.tone]);
  sign.setAttribute('aria-hidden', 'true');
  const badge = make('button', `badge ${evidence.tone}`, sign, make('bdi', '', evidence.badge));
  Object.assign(badge, { type: 'button', title: 'What taking cells away says of this map' });
  badge.dataset.target = target;
  const panel = make('div', 'evidence');
  panel.id = `evidence-${target}`;
  badge.setAttribute('aria-controls', panel.id);
  badge.addEventListener('click', () => update({ evidence: !state.evidence }));
  return { badge, panel };
}

/** Opens or closes the panels of the shown words, without a new badge: the keyboard stays on it. */
function drawEvidence() {
  byId('details').querySelectorAll('.badge').forEach((badge) => {
    const panel = byId(badge.getAttribute('aria-controls'));
    badge.setAttribute('aria-expanded', String(state.evidence));
    panel.hidden = !state.evidence;
    if (state.evidence && !panel.hasChildNodes()) panel.append(...evidenceContent(data.targets[badge.dataset.target].evidence));
  });
}

function evidenceContent({ text, charts, table }) {
  const drawn = charts.filter(({ fractions }) => fractions.length > 0);
  const range = valueRange(drawn);
  const main = `This is about the map of ${isolated(data.methods[0].name)}, whichever method is shown.`;
  return [
    ...text.map((paragraph) => freely(make('p', '', paragraph))),
    ...(data.methods.length > 1 ? [make('p', 'hint', main)] : []),
    ...(drawn.length > 0 ? [removalLegend(drawn)] : []),
    make('div', 'removals', ...charts.map((chart) => removalFigure(chart, range))),
    ...(table ? [scrolled(evidenceTable(table.head, table.rows))] : []),
    ...(drawn.length > 0 ? [removalNumbers(drawn)] : []),
  ];
}

/** An element with a text of others, in the direction of that text. */
function freely(element) {
  element.dir = 'auto';
  return element;
}

function removalFigure(chart, range) {
  const caption = make('figcaption', '', freely(make('b', '', chart.title)), freely(make('span', '', chart.summary)));
  const drawing = chart.fractions.length > 0 ? [removalDrawing(chart, range)] : [];
  return make('figure', '', caption, ...drawing);
}

/** The numbers behind the charts, for whoever does not see or point. */
function removalNumbers(charts) {
  const tables = charts.map((chart) => {
    const rows = chart.fractions.map((_, index) => numbersOf(chart, index).map(([, value]) => value));
    const table = evidenceTable(numbersOf(chart, 0).map(([name]) => name), rows);
    table.prepend(freely(make('caption', '', chart.title)));
    return scrolled(table);
  });
  const details = make('details', '', make('summary', '', 'Numbers of the curves'), ...tables);
  details.open = state.numbers;
  details.addEventListener('toggle', () => { state.numbers = details.open; });
  return details;
}

function scrolled(table) {
  return make('div', 'scroll', table);
}

/** A table of texts; the first cell of a row names it. */
function evidenceTable(head, rows) {
  const heading = (text, scope) => Object.assign(make('th', '', make('bdi', '', text)), { scope });
  const cell = (text, index) => (index === 0 ? heading(text, 'row') : make('td', '', make('bdi', '', text)));
  const body = rows.map((row) => make('tr', '', ...row.map(cell)));
  const headings = make('tr', '', ...head.map((text) => heading(text, 'col')));
  return make('table', '', make('thead', '', headings), make('tbody', '', ...body));
}
