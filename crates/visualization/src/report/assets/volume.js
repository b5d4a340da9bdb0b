// Series: which pictures are slices of what, how one goes from slice to slice, and what lies in which.

/** For each picture its volume and slice; null where it stands alone. */
const sliceOf = data.pictures.map(() => null);
data.volumes.forEach(({ slices }, volume) => {
  slices.forEach(({ picture }, slice) => { sliceOf[picture] = { volume, slice }; });
});

/** What the strip offers: pictures that stand alone, and each series as one, where its first picture is. */
const places = data.pictures.flatMap(({ name }, picture) => {
  const at = sliceOf[picture];
  if (!at) return [{ name, pictures: [picture], volume: null }];
  const { name: series, slices } = data.volumes[at.volume];
  const pictures = slices.map((slice) => slice.picture);
  return Math.min(...pictures) === picture ? [{ name: series, pictures, volume: at.volume }] : [];
});

/** The picture that was shown last of each volume; null: none yet. */
const lastShown = data.volumes.map(() => null);

/** The volume that the shown picture is a slice of, and which slice; null where it stands alone. */
function shownSlice() {
  return data.pictures.length > 0 ? sliceOf[state.picture] : null;
}

/** Goes to a slice of the shown volume; past its ends to the end. */
function showSlice(slice) {
  const at = shownSlice();
  if (!at) return;
  const { slices } = data.volumes[at.volume];
  showPicture(slices[Math.min(slices.length - 1, Math.max(0, slice))].picture);
}

/** Goes some slices on, and says where that is. */
function stepSlices(by) {
  const at = shownSlice();
  if (!at) return;
  showSlice(at.slice + by);
  say(sliceText(shownSlice()));
}

/** A label that ends in the number of the slice says of how many; any other is followed by both. */
function sliceText({ volume, slice }) {
  const { slices } = data.volumes[volume];
  const { label, position } = slices[slice];
  const isNumbered = new RegExp(`(^|\\D)0*${slice + 1}$`).test(label.trim());
  const name = isolated(label.trim());
  const number = isNumbered ? `${name} of ${slices.length}` : `${name} · ${slice + 1} of ${slices.length}`;
  return position === null ? number : `${number} · ${millimetres(position)}`;
}

function millimetres(value) {
  return `${value.toFixed(1).replace('-', '−')}\u00a0mm`;
}

/** A picture's name for people; that of a slice is the series and the slice. */
function pictureName(picture) {
  const at = sliceOf[picture];
  if (!at) return isolated(data.pictures[picture].name);
  return `${isolated(data.volumes[at.volume].name)}, ${sliceText(at)}`;
}

/** The same cell of another picture with the same grids; null where there is none. */
function sameCell(picture) {
  if (!state.cell) return null;
  const gridsOver = (of) => [...data.grids.keys()].filter((grid) => data.grids[grid].picture === of);
  const grid = gridsOver(picture)[gridsOver(state.picture).indexOf(state.cell.grid)];
  const fits = grid !== undefined && cellCounts[grid] === cellCounts[state.cell.grid];
  return fits ? { grid, index: state.cell.index } : null;
}

/** Share of several pictures together in all of a row but its self terms; null without a row. */
function placeShare(row, pictures) {
  if (row === null || !speaks(row)) return null;
  const within = new Set(pictures);
  return data.grids.reduce((sum, { picture }, grid) => (within.has(picture) ? sum + gridShare(row, grid) : sum), 0);
}

/** The parts of a volume's relevancy that lie in each of its slices; null where there is none. */
function sliceShares(target, volume) {
  const row = currentRow(target);
  if (row === null || !speaks(row)) return null;
  const { slices } = data.volumes[volume];
  const shares = slices.map(() => 0);
  data.grids.forEach(({ picture }, grid) => {
    const at = sliceOf[picture];
    if (at && at.volume === volume) shares[at.slice] += gridShare(row, grid);
  });
  const sum = shares.reduce((a, b) => a + b, 0);
  return sum > 0 ? shares.map((share) => share / sum) : null;
}

/** The slices with the largest shares, largest first. */
function topSlices(shares, most = 5) {
  const found = [...shares.keys()].filter((slice) => shares[slice] > 0);
  return found.sort((a, b) => shares[b] - shares[a] || a - b).slice(0, most);
}
