// What was dropped, pasted or chosen: which of it are pictures, and which of them belong together.

const TAKEN = 'PNG, JPEG, TIFF, WebP, BMP, DICOM, NIfTI';

const startsWith = (bytes, signature, at = 0) => signature.every((byte, i) => bytes[at + i] === byte);
const ascii = (text) => [...text].map((c) => c.charCodeAt(0));

/** Kinds by their first bytes; a name proves nothing. */
const KINDS = [
  ['png', (b) => startsWith(b, [0x89, ...ascii('PNG')])],
  ['jpeg', (b) => startsWith(b, [0xff, 0xd8, 0xff])],
  ['tiff', (b) => startsWith(b, [0x49, 0x49, 0x2a, 0]) || startsWith(b, [0x4d, 0x4d, 0, 0x2a])],
  ['webp', (b) => startsWith(b, ascii('RIFF')) && startsWith(b, ascii('WEBP'), 8)],
  ['bmp', (b) => startsWith(b, ascii('BM'))],
  ['dicom', (b, name) => startsWith(b, ascii('DICM'), 128) || /\.(dcm|dicom)$/i.test(name)],
  ['nifti', (b, name) => startsWith(b, ascii('n+1'), 344) || (startsWith(b, [0x1f, 0x8b]) && /\.nii\.gz$/i.test(name))],
];

/** Kinds that this page can show by itself before the server has read them. */
const SHOWN = new Set(['png', 'jpeg', 'webp', 'bmp']);

/** The kind of a file; null: none that the server takes. */
async function kindOf(file) {
  const bytes = new Uint8Array(await file.slice(0, 352).arrayBuffer());
  return KINDS.find(([, is]) => is(bytes, file.name))?.[0] ?? null;
}

/**
 * Files as sources of a question, and what is left out, in words. `found`: `{ file, folder }`. DICOM files of one folder are the slices of
 * a series.
 */
export async function sourcesOf(found) {
  const sources = [];
  const refused = [];
  const series = new Map();
  let hidden = 0;
  for (const { file, folder } of found) {
    if (file.name.startsWith('.') || file.name.toUpperCase() === 'DICOMDIR') {
      hidden += 1;
      continue;
    }
    const kind = file.size === 0 ? 'empty' : await kindOf(file).catch(() => 'unreadable');
    if (kind === 'empty') refused.push({ name: file.name, why: 'the file is empty' });
    else if (kind === 'unreadable') refused.push({ name: file.name, why: 'the browser may not read it; is it a folder, or has it moved?' });
    else if (kind === null) refused.push({ name: file.name, why: `not a picture that is read here (${TAKEN})` });
    else if (kind === 'dicom' && found.length > 1) series.set(folder, [...(series.get(folder) ?? []), file]);
    else sources.push({ kind, name: file.name, files: [file], isShown: SHOWN.has(kind) });
  }
  series.forEach((files, folder) => {
    const name = files.length === 1 ? files[0].name : folder || `${files.length} DICOM files`;
    sources.push({ kind: 'dicom', name, files, isShown: false });
  });
  if (hidden > 0 && sources.length === 0) refused.push({ name: '', why: `${hidden} hidden or index files were left out` });
  return { sources, refused };
}

/** Files of a drop, folders opened. */
export async function filesOfDrop(transfer) {
  const entries = [...transfer.items].map((item) => (item.kind === 'file' ? item.webkitGetAsEntry?.() : null)).filter(Boolean);
  if (entries.length === 0) return [...transfer.files].map((file) => ({ file, folder: '' }));
  const found = [];
  for (const entry of entries) await collect(entry, '', found);
  return found;
}

/** More than any study; a folder such as the home of a user is not read to its end. */
const MOST_FILES = 5000;

async function collect(entry, folder, found) {
  if (found.length >= MOST_FILES) return;
  if (entry.isFile) {
    found.push({ file: await new Promise((resolve, reject) => entry.file(resolve, reject)), folder });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return; // it gives a hundred at a time
    some.sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
    for (const inner of some) await collect(inner, folder ? `${folder}/${entry.name}` : entry.name, found);
  }
}

/** Files of an input; those of a folder bear their path. */
export function filesOfInput(input) {
  const found = [...input.files].map((file) => ({ file, folder: file.webkitRelativePath.split('/').slice(0, -1).join('/') }));
  return found.sort((a, b) => (a.folder + a.file.name).localeCompare(b.folder + b.file.name, 'en', { numeric: true }));
}
