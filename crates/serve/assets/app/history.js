// The questions of this session, in memory only.

import { button, byId, fill, make, visible } from './dom.js';
import { thumbnail } from './composer.js';
import { state } from './state.js';

const SIGNS = { failed: '✗', cancelled: '–', done: '' };

let drawn = '';

/** `show(inquiry)` goes back to one; null: to a new question. */
export function drawHistory(show) {
  const { inquiries, current } = state;
  const place = byId('history');
  place.hidden = inquiries.length === 0;
  const key = [current?.number, ...inquiries.map((inquiry) => `${inquiry.number} ${inquiry.state} ${inquiry.isBusy} ${Boolean(inquiry.pictures[0]?.image)}`)].join('\n');
  if (drawn === key) return;
  drawn = key;
  const focused = document.activeElement?.dataset?.inquiry;
  const fresh = button('+ New question', 'past new', () => show(null));
  fresh.setAttribute('aria-current', String(current === null));
  fill(place, fresh, ...inquiries.map((inquiry) => {
    const text = make('bdi', 'past-text', visible(inquiry.question.prompt));
    const sign = inquiry.isBusy ? '…' : SIGNS[inquiry.state] ?? '…';
    const element = button('', 'past', () => show(inquiry));
    element.append(small(inquiry), text, make('span', 'past-sign', sign));
    element.dataset.inquiry = inquiry.number;
    element.title = visible(inquiry.question.prompt);
    element.setAttribute('aria-current', String(inquiry === current));
    return element;
  }));
  if (focused) place.querySelector(`[data-inquiry="${focused}"]`)?.focus();
}

/** The first picture as the server read it, else what the browser makes of it. */
function small(inquiry) {
  const image = inquiry.pictures[0]?.image;
  if (!image) return thumbnail(inquiry.question.sources[0]);
  const copy = make('img', 'thumb');
  copy.src = image.src;
  copy.alt = '';
  return copy;
}
