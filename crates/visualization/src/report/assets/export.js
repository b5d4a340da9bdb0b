// The current view as one PNG: panels side by side with words, bars and the caution.

const MARGIN = 24;
const FONT = 'system-ui, sans-serif';

/** Longer side of a panel in the file, however small the window is. */
const EXPORT_SIDE = 1400;

function exportCanvas() {
  const shown = panels.filter((panel) => !panel.figure.hidden);
  const { clientWidth, clientHeight } = shown[0].canvas;
  const factor = EXPORT_SIDE / Math.max(clientWidth, clientHeight);
  const [width, height] = [clientWidth, clientHeight].map((side) => Math.round(side * factor));
  const size = Math.max(14, Math.round(width / 42)); // of the text
  const canvas = document.createElement('canvas');
  canvas.width = shown.length * (width + MARGIN) + MARGIN;
  canvas.height = height + 10.5 * size + 2 * MARGIN;
  const context = canvas.getContext('2d');
  context.fillStyle = '#000';
  context.fillRect(0, 0, canvas.width, canvas.height);
  shown.forEach((panel, index) => {
    exportPanel(context, panel, [MARGIN + index * (width + MARGIN), width, height], size);
  });
  exportFoot(context, canvas, size);
  return canvas;
}

function write(context, text, x, y, size, { bold = false, colour = '#a3b0bb', right = false, room } = {}) {
  context.font = `${bold ? 'bold ' : ''}${size}px ${FONT}`;
  context.fillStyle = colour;
  context.textAlign = right ? 'right' : 'left';
  context.fillText(text, x, y, room);
}

function exportPanel(context, panel, [x, width, height], size) {
  const view = document.createElement('canvas');
  Object.assign(view, { width, height });
  paint(view.getContext('2d'), panel, width, height);
  let y = MARGIN + 1.2 * size;
  write(context, panel.word.textContent, x, y, 1.2 * size, { bold: true, colour: '#fff', room: width });
  y += 1.6 * size;
  write(context, panel.sub.textContent, x, y, size, { room: width });
  y += 0.8 * size;
  context.drawImage(view, x, y);
  y += height + 0.6 * size;
  if (!panel.foot.hidden) {
    context.imageSmoothingEnabled = false;
    context.drawImage(panel.bar, x, y, width, 0.5 * size);
    y += 1.7 * size;
    write(context, panel.low.textContent, x, y, 0.9 * size, { room: 0.48 * width });
    write(context, panel.high.textContent, x + width, y, 0.9 * size, { right: true, room: 0.48 * width });
  }
  y += 1.5 * size;
  write(context, panel.note.textContent, x, y, 0.9 * size, { room: width });
}

function exportFoot(context, canvas, size) {
  const method = data.methods[state.method];
  const layer = state.layer < 0 ? '' : `, ${method.layers[state.layer]}`;
  const room = canvas.width - 2 * MARGIN;
  const y = canvas.height - MARGIN;
  write(context, `${pictureName(state.picture)} · ${isolated(method.name)}${layer}`, MARGIN, y - 1.4 * size, 0.9 * size, { room });
  write(context, document.querySelector('.caution').textContent, MARGIN, y, 0.9 * size, { colour: '#ffb066', room });
}

/** Words, method, layer and picture, so that several saved views can be told apart. */
function exportName() {
  const method = data.methods[state.method];
  const words = shownTargets().map((target) => slug(nameOf(target)));
  const layer = state.layer < 0 ? [] : [slug(method.layers[state.layer])];
  const at = shownSlice();
  const series = at && data.volumes[at.volume];
  const picture = series
    ? slug(`${series.name} ${series.slices[at.slice].label}`)
    : slug(data.pictures[state.picture].name.replace(/\.[^.]*$/, ''));
  return `${[...words, slug(method.name), ...layer, picture].join('_')}.png`;
}

function savePicture() {
  exportCanvas().toBlob((blob) => {
    const link = make('a');
    link.href = URL.createObjectURL(blob);
    link.download = exportName();
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    say(`Picture saved as ${link.download}.`);
  }, 'image/png');
}
