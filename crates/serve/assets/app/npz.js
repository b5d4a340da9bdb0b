// Arrays of explanation.npz: a ZIP archive of NumPy files. Only what is asked for is unpacked.

const view = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** The entries of an archive by name: where their bytes lie, and how they are packed. */
function directory(bytes) {
  const data = view(bytes);
  let end = bytes.length - 22;
  while (end >= 0 && data.getUint32(end, true) !== 0x06054b50) end -= 1;
  if (end < 0) throw new Error('explanation.npz is no archive');
  const entries = new Map();
  let at = data.getUint32(end + 16, true);
  for (let n = data.getUint16(end + 10, true); n > 0; n -= 1) {
    if (data.getUint32(at, true) !== 0x02014b50) throw new Error('the directory of explanation.npz is damaged');
    const [name, extra, comment] = [28, 30, 32].map((offset) => data.getUint16(at + offset, true));
    const entry = { method: data.getUint16(at + 10, true), size: data.getUint32(at + 20, true), start: data.getUint32(at + 42, true) };
    entries.set(new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + name)), entry);
    at += 46 + name + extra + comment;
  }
  return entries;
}

async function unpacked(bytes, { method, size, start }) {
  const data = view(bytes);
  const from = start + 30 + data.getUint16(start + 26, true) + data.getUint16(start + 28, true);
  const packed = bytes.subarray(from, from + size);
  if (method === 0) return packed;
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate-raw'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** An array of 32-bit floats in C order: `{ shape, values }`; null where the archive has none of this name. */
export async function floats(bytes, name) {
  const entry = directory(bytes).get(`${name}.npy`);
  if (!entry) return null;
  const file = await unpacked(bytes, entry);
  const data = view(file);
  const isFirst = file[6] === 1;
  const start = isFirst ? 10 + data.getUint16(8, true) : 12 + data.getUint32(8, true);
  const head = new TextDecoder().decode(file.subarray(isFirst ? 10 : 12, start));
  if (!/'descr': '<f4'/.test(head) || !/'fortran_order': False/.test(head)) throw new Error(`${name} is not made of 32-bit floats`);
  const shape = /'shape': \(([^)]*)\)/.exec(head)[1].split(',').map((side) => side.trim()).filter(Boolean).map(Number);
  const count = shape.reduce((a, b) => a * b, 1);
  const values = Float32Array.from({ length: count }, (_, i) => data.getFloat32(start + 4 * i, true));
  return { shape, values };
}
