// Start: everything is joined, then drawn whenever the state changes.

import { drawAnswer, listenToAnswer, pin } from './answer.js';
import { clear, draftPictures, drawComposer, listenToComposer, restore } from './composer.js';
import { drawDetails } from './details.js';
import { drawDisplay, listenToDisplay } from './display.js';
import { byId, setText } from './dom.js';
import { drawHistory } from './history.js';
import { Inquiry } from './inquiry.js';
import { scene } from './maps.js';
import { buildOptions, drawOptions } from './options.js';
import { drawReadout } from './pointer.js';
import { drawResults, listenToResults } from './results.js';
import { connection, get } from './server.js';
import { onChange, showInquiry, state, update } from './state.js';
import { drawStudies } from './studies.js';
import { drawViewer, listenToViewer } from './viewer.js';

/** Questions that are kept; the oldest goes first. */
const MOST_INQUIRIES = 40;

function ask(question) {
  const inquiry = new Inquiry(question);
  state.inquiries.unshift(inquiry);
  state.inquiries.splice(MOST_INQUIRIES).forEach((old) => old.drop());
  showInquiry(inquiry);
  // On a small screen the answer comes below; it is there with the next frame.
  if (matchMedia('(max-width: 900px)').matches) {
    requestAnimationFrame(() => requestAnimationFrame(() => byId('answer-card').scrollIntoView({ block: 'start' })));
  }
  inquiry.ask();
}

function show(inquiry) {
  if (inquiry) restore(inquiry.question);
  else clear();
  showInquiry(inquiry);
}

/** The first map that is there is shown: an empty picture would say nothing. */
function showFirst() {
  const { current } = state;
  if (current && state.last === null && current.lastShown !== null) {
    const { row } = current.entries.get(current.lastShown);
    const warmest = row.maps.reduce((best, map) => {
      const sum = map.values.reduce((a, b) => a + Math.abs(b), 0);
      return sum > best.sum ? { sum, picture: map.picture } : best;
    }, { sum: 0, picture: 0 });
    update({ last: current.lastShown, picture: warmest.picture });
  }
}

/* The connection: what the reader sees of it. */

let retry = 0;

connection.lost = () => {
  setText(byId('banner-text'), 'The server does not answer. Is medgemma-explainer still running? The page tries again by itself.');
  byId('banner').hidden = false;
  clearTimeout(retry);
  retry = setTimeout(connect, 3000);
};

connection.found = () => {
  clearTimeout(retry);
  byId('banner').hidden = true;
};

let asking = null;

/** One dialog, however many requests wait for the token. */
connection.token = (wasWrong) => {
  asking ??= new Promise((resolve) => {
    const dialog = byId('token-dialog');
    if (wasWrong) setText(byId('token-text'), 'That is not the token of this server. It is what the server was started with.');
    byId('token-input').value = '';
    dialog.showModal();
    byId('token-form').onsubmit = (event) => {
      event.preventDefault();
      const token = byId('token-input').value.trim();
      if (!/^[\x21-\x7e]+$/.test(token)) {
        setText(byId('token-text'), 'A token has letters, digits and signs of ASCII, and no spaces.');
        return;
      }
      dialog.close();
      asking = null;
      resolve(token);
    };
  });
  return asking;
};

async function connect() {
  try {
    state.model = await get('/v1/model');
    drawModel();
    update();
  } catch (error) {
    if (error.kind === 'gone') return; // it is tried again
    setText(byId('banner-text'), `The server says: ${error.message}`);
    byId('banner').hidden = false;
  }
}

function drawModel() {
  const { name, device, dtype, program, image_tokens: cells, grid, sees_pictures: sees } = state.model;
  const picture = sees && grid ? ` · ${grid[0]} × ${grid[1]} cells a picture` : sees ? ` · ${cells} cells a picture` : ' · sees no pictures';
  setText(byId('model'), `${name} · ${device}, ${dtype}${picture}`);
  setText(byId('program'), program);
  byId('main').classList.toggle('text-only', !sees);
}

function listenToPage() {
  byId('banner-retry').addEventListener('click', connect);
  byId('help-open').addEventListener('click', () => byId('help').showModal());
  byId('theme').addEventListener('click', () => {
    const { dataset } = document.documentElement;
    const isDark = dataset.theme ? dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
    dataset.theme = isDark ? 'light' : 'dark';
  });
  byId('token-dialog').addEventListener('cancel', (event) => event.preventDefault());
  byId('stop').addEventListener('click', () => state.current.stop());
  byId('resume').addEventListener('click', () => state.current.resume());
  byId('retry').addEventListener('click', () => ask(state.current.question));
  byId('whole').addEventListener('click', () => { if (state.current?.answer) pin(state.current.whole()); });
}

scene.draft = draftPictures;
buildOptions();
listenToComposer(ask);
listenToAnswer();
listenToViewer();
listenToDisplay();
listenToResults();
listenToPage();
onChange(() => byId('main').classList.toggle('asked', state.current !== null));
[showFirst, drawViewer, drawReadout, drawDisplay, drawComposer, drawOptions, drawAnswer, drawDetails, drawStudies, drawResults].forEach(onChange);
onChange(() => drawHistory(show));
update();
connect();
