// The pictures that are shown, with map, words, scale and the caution, as one PNG.

import { byId, make, save, say } from './dom.js';
import { pictureName, scene } from './maps.js';
import { state } from './state.js';
import { paint, shownPanels } from './viewer.js';

const MARGIN = 24;
const FONT = 'system-ui, sans-serif';

/** Longer side of a panel in the file, however small the window is. */
const SIDE = 1400;

function write(context, text, x, y, size, { bold = false, colour = '#a3b0bb', right = false, room } = {}) {
  context.font = `${bold ? 'bold ' : ''}${size}px ${FONT}`;
  context.fillStyle = colour;
  context.textAlign = right ? 'right' : 'left';
  context.fillText(text, x, y, room);
}

function drawn() {
  const panels = shownPanels();
  const { clientWidth, clientHeight } = panels[0].canvas;
  const factor = SIDE / Math.max(clientWidth, clientHeight);
  const [width, height] = [clientWidth, clientHeight].map((side) => Math.round(side * factor));
  const size = Math.max(14, Math.round(width / 42)); // of the text
  const canvas = make('canvas');
  canvas.width = panels.length * (width + MARGIN) + MARGIN;
  canvas.height = Math.round(height + 9.5 * size + 2 * MARGIN);
  const context = canvas.getContext('2d');
  context.fillStyle = '#000';
  context.fillRect(0, 0, canvas.width, canvas.height);
  panels.forEach((panel, index) => drawPanel(context, panel, [MARGIN + index * (width + MARGIN), width, height], size));
  const room = canvas.width - 2 * MARGIN;
  const program = state.model ? `${state.model.program} · ${state.model.name}` : '';
  write(context, program, MARGIN, canvas.height - MARGIN - 1.4 * size, 0.9 * size, { room });
  const caution = `${document.querySelector('.caution').textContent} Research use only.`;
  write(context, caution, MARGIN, canvas.height - MARGIN, 0.9 * size, { colour: '#ffb066', room });
  return canvas;
}

function drawPanel(context, panel, [x, width, height], size) {
  const view = make('canvas');
  Object.assign(view, { width, height });
  paint(view.getContext('2d'), panel, scene.pictures()[panel.picture], width, height);
  let y = MARGIN + 1.2 * size;
  const [word, sub] = ['stage-word', 'stage-sub'].map((id) => byId(id).textContent);
  write(context, scene.pictures().length < 2 ? word : `${word} · ${panel.name.textContent}`, x, y, 1.2 * size, { bold: true, colour: '#fff', room: width });
  y += 1.6 * size;
  write(context, scene.pictures().length < 2 ? sub : panel.share.textContent, x, y, size, { room: width });
  y += 0.8 * size;
  context.drawImage(view, x, y);
  y += height + 0.6 * size;
  if (panel.foot.classList.contains('nothing')) return;
  context.imageSmoothingEnabled = false;
  context.drawImage(panel.bar, x, y, width, 0.5 * size);
  y += 1.7 * size;
  write(context, panel.low.textContent, x, y, 0.9 * size, { room: 0.48 * width });
  write(context, panel.high.textContent, x + width, y, 0.9 * size, { right: true, room: 0.48 * width });
}

/** Letters and digits of a text for the name of a file. */
function slug(text) {
  const kept = text.normalize('NFKD').toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-+|-+$/g, '');
  return [...kept].slice(0, 40).join('') || 'map';
}

export function savePicture() {
  const [panel] = shownPanels();
  const picture = slug(pictureName(panel.picture).replace(/\.[^.]*$/, ''));
  const words = slug(byId('stage-word').textContent);
  const name = words === slug(pictureName(panel.picture)) ? `${picture}.png` : `${words}_${picture}.png`;
  drawn().toBlob((blob) => {
    save(blob, name);
    say(`Picture saved as ${name}.`);
    byId('export').focus({ preventScroll: true });
  }, 'image/png');
}
