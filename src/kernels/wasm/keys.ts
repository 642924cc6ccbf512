import type { AttentionCall } from '../../domain/call.ts';
import { type KeyRun, keyRuns } from '../heads.ts';
import type { Job } from '../kernel.ts';
import { BLOCK, HEIGHT, LANES } from './geometry.ts';
import type { Machine } from './machine.ts';

/** Keys and values that a thread holds at a time. */
const KEY_BYTES = 8 * 2 ** 20;
const MOST_BLOCKS = 42;

/** Keys that are in memory at a time: all of a head where they fit, whole blocks of them otherwise. */
export function chunkKeys({ sizes }: AttentionCall): number {
  const fit = Math.floor(KEY_BYTES / (4 * BLOCK * (sizes.headSize + sizes.valueHeadSize)));
  const all = Math.ceil((sizes.keys + sizes.extras) / BLOCK);
  return BLOCK * Math.max(1, Math.min(fit, all, MOST_BLOCKS));
}

/** Where the parts of a chunk stand from its beginning, in bytes, and how many they are. */
function layout(call: AttentionCall) {
  const keys = chunkKeys(call);
  const { headSize, valueHeadSize } = call.sizes;
  const values = keys * headSize * 4;
  const marks = values + Math.ceil(valueHeadSize / HEIGHT) * HEIGHT * keys * 4;
  const valid = marks + keys;
  const sizes = valid + keys;
  return { values, marks, valid, sizes, bytes: sizes + (keys / BLOCK) * 4 };
}

/** Bytes of a chunk of keys. */
export function chunkBytes(call: AttentionCall): number {
  return layout(call).bytes;
}

/** Room for the rows of a block before they are packed. */
export function rowBytes({ sizes }: AttentionCall): number {
  return BLOCK * (sizes.headSize + sizes.valueHeadSize) * 4;
}

/** Room for the scores of a block. */
export const SCORE_BYTES = (BLOCK + HEIGHT) * LANES * 4;

/** Has the keys and values from `first` on of one key/value head at `at`. Returns how many they are. */
export function loadKeys(
  machine: Machine,
  job: Job,
  batch: number,
  kvHead: number,
  first: number,
  at: number,
  rows: number,
): number {
  const { code } = machine;
  const { sizes, visibility } = job.call;
  const { keys, extras, kvHeads, headSize, valueHeadSize } = sizes;
  const chunk = chunkKeys(job.call);
  const count = Math.min(chunk, keys + extras - first);
  const { values, marks, valid, sizes: largest } = layout(job.call);
  const { keyValid } = visibility;
  const validAt = keyValid === null ? 0 : at + valid;
  code.setKeys(first, count, at, at + values, at + marks, at + largest, validAt);

  const chunks = Math.ceil((keys + extras) / chunk);
  const index = (batch * kvHeads + kvHead) * chunks + first / chunk;
  if (machine.holds({ job, kind: 'keys', index })) return count;
  const keyRows = keyRuns(job, 'key', batch, kvHead);
  const valueRows = keyRuns(job, 'value', batch, kvHead);
  const valueRowsAt = rows + BLOCK * headSize * 4;
  for (let block = first; block < first + count; block += BLOCK) {
    const end = Math.min(block + BLOCK, first + count);
    copyRuns(machine, keyRows, block, end, headSize, rows);
    copyRuns(machine, valueRows, block, end, valueHeadSize, valueRowsAt);
    code.packKeys(rows, valueRowsAt, block, end - block);
  }
  if (keyValid !== null && first < keys) {
    const begin = batch * keys + first;
    machine.bytes.set(keyValid.subarray(begin, begin + Math.min(count, keys - first)), at + valid);
  }
  return count;
}

/** Copies the rows [block, end) of the runs side by side. */
function copyRuns(
  machine: Machine,
  runs: readonly KeyRun[],
  block: number,
  end: number,
  size: number,
  to: number,
): void {
  for (const run of runs) {
    const first = Math.max(block, run.from);
    const count = Math.min(end, run.to) - first;
    if (count <= 0) continue;
    const from = run.base + (first - run.from) * run.stride;
    machine.copyIn(run.data, from, run.stride, count, size, to + (first - block) * size * 4);
  }
}
