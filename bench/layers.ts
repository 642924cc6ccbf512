/**
 * Registered layers: what registering them, calling them, decoding with them and starting with them costs. `npm run
 * bench:layers`. Leave the machine alone meanwhile; see README.md.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { measureBatching } from './layers/batching.ts';
import { measureCalling } from './layers/calling.ts';
import { measureDecoding } from './layers/decoding.ts';
import { measureRegistering } from './layers/registering.ts';
import { measureStarting } from './layers/starting.ts';
import { print, type Row } from './layers/table.ts';

/** On the disk of the project, as the data of a service would be; a temporary folder may be memory. */
const data = fileURLToPath(new URL('../data/', import.meta.url));

await mkdir(data, { recursive: true });
const folder = await mkdtemp(join(data, 'bench-'));
try {
  const rows: Row[] = [];
  for (const measure of [
    measureRegistering,
    measureCalling,
    measureBatching,
    measureDecoding,
    measureStarting,
  ])
    rows.push(...(await measure(folder)));
  print(rows);
} finally {
  await rm(folder, { recursive: true });
}
