// What stands over picture and heat: contour lines, outlines with their names, the letters R and L.

/** A line twice, wide and dark, then narrow and bright, so that it shows on any ground. */
function strokeTwice(context, colour, width) {
  context.lineJoin = 'round';
  context.lineCap = 'round';
  context.lineWidth = 2 * width;
  context.strokeStyle = '#222';
  context.stroke();
  context.lineWidth = width;
  context.strokeStyle = colour;
  context.stroke();
}

function drawContours(context, path, [left, top, width, height], stroke) {
  if (path.length === 0) return;
  context.beginPath();
  path.forEach(([x, y], index) => {
    const point = [left + x * width, top + y * height];
    if (index % 2 === 0) context.moveTo(...point);
    else context.lineTo(...point);
  });
  strokeTwice(context, '#fff', stroke);
}

function drawOutline(context, { rings, colour, label: name }, [left, top], scale, stroke) {
  let [x0, y0] = [Infinity, Infinity];
  context.beginPath();
  rings.forEach((ring) => {
    for (let i = 0; i + 1 < ring.length; i += 2) {
      const [x, y] = [left + ring[i] * scale, top + ring[i + 1] * scale];
      [x0, y0] = [Math.min(x0, x), Math.min(y0, y)];
      if (i === 0) context.moveTo(x, y);
      else context.lineTo(x, y);
    }
    context.closePath();
  });
  if (!Number.isFinite(x0)) return;
  strokeTwice(context, colour, stroke);
  const size = 8 * stroke;
  const place = [Math.max(x0, left + 3), y0 - stroke - 3 < top + size ? Math.max(y0, top) + size + 2 : y0 - stroke - 3];
  context.font = `600 ${size}px ${FONT}`;
  context.textAlign = 'left';
  context.lineWidth = 0.25 * size;
  context.strokeStyle = 'rgb(0 0 0 / 0.7)';
  context.strokeText(name, ...place);
  context.fillStyle = colour;
  context.fillText(name, ...place);
}

/** Light tabs halfway along the sides, so that nobody takes them for letters of the film: left, right, above, below. */
function drawLetters(context, letters, [left, top, width, height], [canvasWidth, canvasHeight], stroke) {
  const size = 12 * stroke;
  const [tab, tall] = [1.3 * size, 1.5 * size];
  const [x0, x1] = [Math.max(0, left), Math.min(canvasWidth, left + width)];
  const [y0, y1] = [Math.max(0, top), Math.min(canvasHeight, top + height)];
  const [across, down] = [(x0 + x1 - tab) / 2, (y0 + y1 - tall) / 2];
  const places = [[x0, down], [x1 - tab, down], [across, y0], [across, y1 - tall]];
  context.font = `700 ${size}px ${FONT}`;
  context.textAlign = 'center';
  letters.forEach((letter, side) => {
    if (letter === '') return;
    const [x, y] = places[side];
    context.fillStyle = 'rgb(240 243 246 / 0.92)';
    context.fillRect(x, y, tab, tall);
    context.fillStyle = '#10161b';
    context.fillText(letter, x + tab / 2, y + tall / 2 + 0.36 * size);
  });
}
