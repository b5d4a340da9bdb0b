// The words of the answer: hover and focus show, click and Enter pin, with Shift a second one; arrows walk.

const wordElements = [...document.querySelectorAll('.word')];
const wordTarget = (element) => Number(element.dataset.target);

function listenToWords() {
  wordElements.forEach((element) => {
    element.addEventListener('pointerenter', (event) => {
      if (event.pointerType !== 'touch') update({ preview: wordTarget(element) });
    });
    element.addEventListener('pointerleave', (event) => {
      if (event.pointerType !== 'touch') update({ preview: null });
    });
    element.addEventListener('focus', () => update({ preview: wordTarget(element), last: wordTarget(element) }));
    element.addEventListener('blur', () => update({ preview: null }));
    element.addEventListener('click', (event) => choose(element, event.shiftKey));
    element.addEventListener('keydown', wordKey);
    // Shift-click would select text.
    element.addEventListener('mousedown', (event) => { if (event.shiftKey) event.preventDefault(); });
  });
  rove(wordElements.find((element) => wordTarget(element) === state.last) ?? wordElements[0]);
}

function choose(element, asSecond) {
  rove(element);
  if (asSecond || state.comparing) addSecond(wordTarget(element));
  else pin(wordTarget(element));
}

/** One word alone is a stop of the Tab key. */
function rove(element) {
  wordElements.forEach((other) => { other.tabIndex = other === element ? 0 : -1; });
}

function wordKey(event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const index = wordElements.indexOf(event.currentTarget);
  const last = wordElements.length - 1;
  const goals = { ArrowRight: index + 1, ArrowDown: index + 1, ArrowLeft: index - 1, ArrowUp: index - 1, Home: 0, End: last };
  if (event.key in goals) focusWord(Math.min(last, Math.max(0, goals[event.key])));
  else if (event.key === 'Enter' || event.key === ' ') choose(event.currentTarget, event.shiftKey);
  else return;
  event.preventDefault();
}

function focusWord(index) {
  rove(wordElements[index]);
  wordElements[index].focus({ preventScroll: true });
  wordElements[index].scrollIntoView({ block: 'nearest' });
  say(subtitle(wordTarget(wordElements[index])));
}

let shadedFor = '';

function drawWords() {
  const key = `${state.method} ${state.layer}`;
  if (key !== shadedFor) shadeWords();
  shadedFor = key;
  const shown = shownTargets();
  wordElements.forEach((element) => {
    const target = wordTarget(element);
    element.classList.toggle('shown', shown.includes(target));
    element.classList.toggle('pinned', target === state.pinned);
    element.classList.toggle('second', target === state.second);
    element.setAttribute('aria-pressed', String(target === state.pinned || target === state.second));
  });
}

/** Shades are relative to the largest share, which the legend states; a word without a map is greyed out. */
function shadeWords() {
  const shares = data.targets.map((_, target) => pictureShare(currentRow(target)));
  const largest = shares.reduce((a, b) => Math.max(a, b ?? 0), 0);
  wordElements.forEach((element) => {
    const target = wordTarget(element);
    const share = shares[target];
    const why = missing(target, state.method, state.layer);
    element.style.setProperty('--share', largest > 0 && share !== null ? share / largest : 0);
    element.classList.toggle('absent', why !== null);
    const said = share === null ? 'nothing speaks for it' : `${percent(share)} of ${quantityOf()} is in the picture`;
    element.title = [why === null ? said : `no map: ${why}`, ...data.targets[target].flags].join('\n');
  });
  const flagged = data.targets.some(({ flags }) => flags.length > 0);
  const shade = `Shade: how much of ${quantityOf()} lies in the picture${data.pictures.length > 1 ? 's' : ''}, 0 to ${percent(largest)}.`;
  const legend = [data.pictures.length > 0 ? shade : '', flagged ? '⚑ flagged: see the note under “Word”.' : ''];
  byId('legend').textContent = legend.filter((part) => part).join(' ');
}
