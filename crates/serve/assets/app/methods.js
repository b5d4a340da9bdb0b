// Maps of other methods, and finer maps: they stand in the arrays of an explanation, not in its rows.

import { blobOf, get } from './server.js';
import { floats } from './npz.js';

/** For each target of a job, the maps by every method and resolution: `{ id, name, maps }`. */
export async function readMethods(job) {
  const record = await get(`${job.path}/files/explanation.json`);
  const archive = new Uint8Array(await (await blobOf(`${job.path}/files/explanation.npz`)).arrayBuffer());
  const [rows, patches] = [await floats(archive, 'method_rows'), await floats(archive, 'patch_relevancy')];
  const { method_ids: ids, methods: names } = record.settings;
  return job.entries.map((_, target) => [
    ...(rows ? ids.map((id, method) => ({ id, name: names[method] ?? id, maps: mapsOfRow(record, rows, method, target) })) : []),
    ...(patches ? [{ id: 'patches', name: 'relevancy by patch', maps: mapsOfPatches(record, patches, target) }] : []),
  ].filter(({ maps }) => maps.some(({ values }) => values.some((value) => value !== 0))));
}

/** Of a phrase against another, the maps of what speaks for either. Null where the record holds no such pair. */
export async function readVersus(job) {
  const record = await get(`${job.path}/files/explanation.json`);
  if (!record.versus?.length) return null;
  const archive = new Uint8Array(await (await blobOf(`${job.path}/files/explanation.npz`)).arrayBuffer());
  const names = [['versus_a', 'what speaks for the phrase'], ['versus_b', 'what speaks for the other']];
  const maps = [];
  for (const [id, name] of names) {
    const rows = await floats(archive, id);
    if (rows) maps.push({ id, name, maps: mapsOfRow(record, { shape: [1, ...rows.shape], values: rows.values }, 0, 0) });
  }
  return maps;
}

/** A row over all tokens, cut into the cells of each image. */
function mapsOfRow({ images }, { shape, values }, method, target) {
  const [, targets, tokens] = shape;
  const row = values.subarray((method * targets + target) * tokens, (method * targets + target + 1) * tokens);
  return images.map(({ picture, region, positions, grid }) => {
    const [rows, columns] = Array.isArray(grid) ? grid : [grid, grid];
    return { picture, region: boxOf(region), rows, columns, values: [...row.subarray(positions[0], positions[0] + rows * columns)] };
  });
}

function mapsOfPatches({ images }, { shape, values }, target) {
  const [, nImages, rows, columns] = shape;
  const size = rows * columns;
  return images.map(({ picture, region }, image) => {
    const start = (target * nImages + image) * size;
    return { picture, region: boxOf(region), rows, columns, values: [...values.subarray(start, start + size)] };
  });
}

const boxOf = (region) => (Array.isArray(region) ? region : [region.x, region.y, region.width, region.height]);
