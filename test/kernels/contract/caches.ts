import { expect, it } from 'vitest';
import type { AttentionCall, HeadView, KeptPresent } from '../../../src/domain/call.ts';
import { allocateReal, type RealArray } from '../../../src/domain/tensor.ts';
import type { Kernel } from '../../../src/kernels/kernel.ts';
import { type CallOptions, causal, everything, makeCall, range } from '../../support/calls.ts';
import { expectSameBits } from '../../support/expect.ts';
import { selfAttention } from '../../support/projections.ts';
import { presentRows, resultsOf, run, runAll } from '../../support/run.ts';

/** Rows of each head in the memory of a cache, and the row that the first past key stands in. */
const CAPACITY = 300;
const FIRST_ROW = 17;

const CALLS: Readonly<Record<string, CallOptions>> = {
  'given heads': { queries: 9 },
  'projected tokens': {
    queries: 9,
    projections: selfAttention(12, 6),
  },
  'one token, projected and rotated': {
    queries: 1,
    rope: {
      pairing: 'half',
      theta: 10000,
      dims: 8,
      queryPositions: { kind: 'from', first: 140 },
      keyPositions: { kind: 'from', first: 140 },
      table: null,
    },
    projections: {
      width: 12,
      contextWidth: null,
      layout: 'out_in',
      packed: null,
      bias: false,
      outputWidth: 6,
    },
  },
};

/** Past keys are read out of the memory of a cache, and the present ones are kept in one, without touching the rest. */
export function caches(kernel: Kernel): void {
  const { precision } = kernel;

  for (const [name, options] of Object.entries(CALLS)) {
    const common: CallOptions = { precision, batch: 2, heads: 4, kvHeads: 2, headSize: 8, valueHeadSize: 5 };
    const call = makeCall({ ...common, past: 140, visibility: causal(2, 140), ...options });
    const { past, kvHeads, batch, headSize, valueHeadSize } = call.sizes;
    const views = { key: cacheOf(call, headSize), value: cacheOf(call, valueHeadSize) };

    it(`reads the past of ${name} out of a cache, to the bit`, () => {
      const cached = { key: filled(views.key, call, 'key'), value: filled(views.value, call, 'value') };
      const contiguous = run(kernel, everything(call)).memory;
      const strided = run(kernel, everything({ ...call, past: cached })).memory;
      for (const [result, expected] of Object.entries(resultsOf(contiguous)))
        expectSameBits(result, strided[result], expected);
    });

    it.each([
      ['all keys and values', 0],
      ['those from the middle of the past on', 70],
      ['the new ones', past],
    ])(`keeps of ${name} %s, to the bit`, (_what, from) => {
      const asked = everything(call);
      const expected = run(kernel, asked);
      for (const compute of [run, runAll]) {
        const key = emptied(views.key);
        const value = emptied(views.value);
        const keptPresent: KeptPresent = { from, key, value };
        const { memory } = compute(kernel, { ...asked, keptPresent });
        for (const [result, bits] of Object.entries(resultsOf(expected.memory)))
          expectSameBits(result, memory[result], bits);
        expectKept(key, presentRows(expected, 'present_key'), from, headSize);
        expectKept(value, presentRows(expected, 'present_value'), from, valueHeadSize);
      }
    });

    /** Every row of the call from `from` on is there, and nothing else. */
    function expectKept(view: HeadView, present: Float64Array, from: number, size: number): void {
      const { keys } = call.sizes;
      let written = 0;
      for (const b of range(batch))
        for (const g of range(kvHeads))
          for (let j = from; j < keys; j++) {
            const at = b * view.batchStride + g * view.headStride + j * view.rowStride;
            const row = ((b * kvHeads + g) * keys + j) * size;
            expect(Array.from(view.data.subarray(at, at + size))).toEqual(
              Array.from(present.subarray(row, row + size)),
            );
            written += size;
          }
      expect(whole(view).filter((number) => !Number.isNaN(number))).toHaveLength(written);
    }
  }
}

/** A view of [B, G, CAPACITY, size] memory that begins at FIRST_ROW. */
function cacheOf({ precision, sizes }: AttentionCall, size: number): HeadView {
  const headStride = CAPACITY * size;
  const data = allocateReal(precision, sizes.batch * sizes.kvHeads * headStride);
  return {
    data: data.subarray(FIRST_ROW * size),
    batchStride: sizes.kvHeads * headStride,
    headStride,
    rowStride: size,
  };
}

function whole({ data }: HeadView): RealArray {
  return data instanceof Float32Array ? new Float32Array(data.buffer) : new Float64Array(data.buffer);
}

/** The view on memory of its own, in which every number is NaN. */
function emptied(view: HeadView): HeadView {
  const data = whole(view).slice().fill(Number.NaN);
  return { ...view, data: data.subarray(FIRST_ROW * view.rowStride) };
}

/** The same with the past rows of a call in it. */
function filled(view: HeadView, { past, sizes }: AttentionCall, role: 'key' | 'value'): HeadView {
  const out = emptied(view);
  const source = past![role];
  for (const b of range(sizes.batch))
    for (const g of range(sizes.kvHeads))
      for (const j of range(sizes.past)) {
        const from = b * source.batchStride + g * source.headStride + j * source.rowStride;
        const row = source.data.subarray(from, from + view.rowStride);
        out.data.set(row, b * view.batchStride + g * view.headStride + j * view.rowStride);
      }
  return out;
}
