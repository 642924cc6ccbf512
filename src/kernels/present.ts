import type { AttentionCall, HeadView } from '../domain/call.ts';
import type { RealArray } from '../domain/tensor.ts';
import { headShape, headsOf } from './heads.ts';
import type { Job } from './kernel.ts';
import type { Part } from './program.ts';

const ROLES = ['key', 'value'] as const;
type Role = (typeof ROLES)[number];

/** The parts of all kernels that write the past keys and values and the new, rotated ones: for the caller, and to keep. */
export function presentParts(tileRows: number): readonly Part[] {
  return [
    ...ROLES.map((role) => returnedPart(role, tileRows)),
    ...ROLES.map((role) => keptPart(role, tileRows)),
  ];
}

/** present_key or present_value. */
function returnedPart(role: Role, tileRows: number): Part {
  return {
    grid: ({ sizes }) => ({ batch: sizes.batch, heads: sizes.kvHeads, rows: sizes.keys, tileRows }),
    flopsPerRow: (call) => headShape(call, role).size,
    applies: ({ returns }) => returns.presentKeyValue,
    run: (job, batch, kvHead, from, to) => {
      const name = role === 'key' ? 'present_key' : 'present_value';
      const { strides } = role === 'key' ? job.call.results.presentKey : job.call.results.presentValue;
      const target = { data: job.memory[name] as RealArray, ...strides };
      copyRows(job, role, target, batch, kvHead, from, to);
    },
  };
}

/** The rows that are kept for later calls. */
function keptPart(role: Role, tileRows: number): Part {
  const firstOf = ({ keptPresent }: AttentionCall) => keptPresent?.from ?? 0;
  return {
    grid: (call) => {
      const { batch, kvHeads, keys } = call.sizes;
      return { batch, heads: kvHeads, rows: keys - firstOf(call), tileRows };
    },
    flopsPerRow: (call) => headShape(call, role).size,
    applies: ({ keptPresent }) => keptPresent !== undefined,
    run: (job, batch, kvHead, from, to) => {
      const first = firstOf(job.call);
      copyRows(job, role, job.call.keptPresent![role], batch, kvHead, first + from, first + to);
    },
  };
}

/** Copies the rows [from, to) of one key/value head, counted over past and new ones. */
function copyRows(
  job: Job,
  role: Role,
  { data, batchStride, headStride, rowStride }: HeadView,
  batch: number,
  kvHead: number,
  from: number,
  to: number,
): void {
  const { call } = job;
  const { size } = headShape(call, role);
  const fresh = headsOf(job, role);
  const { past } = call.sizes;
  let end = from;
  for (let j = from; j < to; j = end) {
    const isPast = j < past;
    const view = isPast ? call.past![role] : fresh;
    const row = isPast ? j : j - past;
    // Rows that follow each other in both places are copied at one go.
    const areRun = view.rowStride === size && rowStride === size;
    end = areRun ? Math.min(to, isPast ? past : to) : j + 1;
    const count = (end - j) * size;
    const source = batch * view.batchStride + kvHead * view.headStride + row * view.rowStride;
    const target = batch * batchStride + kvHead * headStride + j * rowStride;
    if (areRun) data.set(view.data.subarray(source, source + count), target);
    else for (let c = 0; c < size; c++) data[target + c] = view.data[source + c];
  }
}
