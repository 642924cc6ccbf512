import { describe, expect, it } from 'vitest';
import type { AttentionCall, HeadView, Rope } from '../../../src/domain/call.ts';
import type { Kernel } from '../../../src/kernels/kernel.ts';
import { overflowed } from '../../../src/kernels/status.ts';
import { causal, everything, makeCall, randomMask, real } from '../../support/calls.ts';
import { expectSameBits } from '../../support/expect.ts';
import { oracle } from '../../support/oracle/oracle.ts';
import { seeded } from '../../support/random.ts';
import { run } from '../../support/run.ts';

const POISONS = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 3e38];
const MANY = {
  batch: 2,
  queries: 40,
  newKeys: 100,
  past: 40,
  heads: 4,
  kvHeads: 2,
  headSize: 8,
  extras: 1,
} as const;

const FEW = { ...MANY, queries: 2 } as const;

/** Nothing of a forbidden key in any result, whatever it holds. */
export function leakage(kernel: Kernel): void {
  describe('many queries', () => leakageOf(kernel, MANY));
  describe('few queries', () => leakageOf(kernel, FEW));
  describe('many queries, rotated', () => rotatedLeakage(kernel, MANY));
  describe('few queries, rotated', () => rotatedLeakage(kernel, FEW));
}

function leakageOf(kernel: Kernel, sizes: typeof MANY | typeof FEW): void {
  const { precision } = kernel;
  const plain = makeCall({ ...sizes, precision });
  const { keys } = plain.sizes;
  const forbid = randomMask(plain.sizes, seeded(1), 0.5);
  const visibilities = {
    causality: causal(2, 60),
    'a window': { ...causal(2, 60), windowLeft: 9 },
    'a window to both sides': { windowLeft: 20, windowRight: 3, offsets: [30, 90] },
    'key lengths': { keyLengths: [50, 0] },
    'key validity': { keyValid: randomMask({ ...plain.sizes, heads: 1, queries: 1 }, seeded(2), 0.5).data },
    'padding at the end': { keyValid: validUpTo([50, 0], keys) },
    'padding at the end of one sample': { keyValid: validUpTo([keys, 33], keys) },
    'a mask that allows': { allow: randomMask(plain.sizes, seeded(3), 0.02) },
    'a mask that forbids': { forbid },
    'all of them': { ...causal(2, 70), windowLeft: 80, keyLengths: [90, 138], forbid },
  };

  for (const [name, visibility] of Object.entries(visibilities)) {
    const score = { softcap: 4, sinks: real(precision, [0, 1, -1, 2]) };
    const callOf = () => everything(makeCall({ ...sizes, precision, visibility, score }));
    const seenBy = once(() => visibleKeys(callOf()));

    it.each(POISONS)(
      `keeps a key holding %d out of rows that may not see it because of ${name}`,
      (poison) => {
        const call = callOf();
        const seen = seenBy();
        const columns = call.sizes.keys + call.sizes.extras;
        const widths = {
          output: call.sizes.valueHeadSize,
          weights: columns,
          logits: columns,
          log_sum_exp: 1,
        };
        const clean = run(kernel, call).memory;

        // Keys that no query of any head of the group may see hold the poison: all results keep their bits.
        const hidden = (b: number, g: number, j: number) => !seen.byAny(b, g, j);
        const poisoned = run(kernel, poisoning(call, poison, hidden));
        for (const result of Object.keys(widths))
          expectSameBits(result, poisoned.memory[result], clean[result]);
        expect(overflowed(poisoned.status)).toBe(false);

        // One key after another holds the poison: the rows that do not see it keep their bits.
        let rowsCompared = 0;
        for (const key of [7, 45, 78, 139]) {
          const partly = run(
            kernel,
            poisoning(call, poison, (_b, _g, j) => j === key),
          ).memory;
          for (let row = 0; row < seen.rows; row++) {
            if (seen.by(row, key)) continue;
            rowsCompared++;
            for (const [result, width] of Object.entries(widths))
              expectSameBits(
                `${result}, row ${row}, key ${key}`,
                partly[result].subarray(row * width, (row + 1) * width),
                clean[result].subarray(row * width, (row + 1) * width),
              );
          }
        }
        expect(rowsCompared).toBeGreaterThan(0);
      },
    );
  }
}

/** Nor of one that is rotated, which may take it beyond the range. */
function rotatedLeakage(kernel: Kernel, sizes: typeof MANY | typeof FEW): void {
  const { precision } = kernel;
  const { keys } = makeCall({ ...sizes, precision }).sizes;
  const rope: Rope = {
    pairing: 'half',
    theta: 100,
    dims: sizes.headSize,
    queryPositions: { kind: 'from', first: sizes.past },
    keyPositions: { kind: 'from', first: sizes.past },
    table: null,
  };

  it.each(POISONS)('keeps a rotated key holding %d out of rows that may not see it', (poison) => {
    const visibility = { ...causal(2, 60), keyLengths: [keys - 20, 50] };
    const call = everything(makeCall({ ...sizes, precision, visibility, rope }));
    const plain = { ...call, returns: { ...call.returns, presentKeyValue: false } };
    const hidden = (b: number, _g: number, j: number) => j >= visibility.keyLengths[b] && j < keys;
    const clean = run(kernel, plain);
    const poisoned = run(kernel, poisoning(plain, poison, hidden));
    for (const result of ['output', 'weights', 'logits', 'log_sum_exp'])
      expectSameBits(result, poisoned.memory[result], clean.memory[result]);
    expect(overflowed(poisoned.status)).toBe(false);
    const seen = run(
      kernel,
      poisoning(plain, Number.POSITIVE_INFINITY, (_b, _g, j) => j === 41),
    );
    expect(overflowed(seen.status)).toBe(true);
  });
}

/** [samples, keys], 1 for the first keys of each sample. */
function validUpTo(lengths: readonly number[], keys: number): Uint8Array {
  return Uint8Array.from({ length: lengths.length * keys }, (_, at) =>
    Number(at % keys < lengths[Math.floor(at / keys)]),
  );
}

/** What `make` makes, when it is first asked for. */
function once<Value extends object>(make: () => Value): () => Value {
  let value: Value | undefined;
  return () => {
    value ??= make();
    return value;
  };
}

/** Which keys are seen, asked of the oracle. */
function visibleKeys(call: AttentionCall) {
  const { batch, heads, kvHeads, queries, keys, extras } = call.sizes;
  const { value: logits } = oracle(call).logits.masked;
  const columns = keys + extras;
  const by = (row: number, j: number) => j >= keys || logits[row * columns + j] !== Number.NEGATIVE_INFINITY;
  return {
    by,
    byAny(b: number, g: number, j: number) {
      const group = heads / kvHeads;
      const first = (b * heads + g * group) * queries;
      for (let row = first; row < first + group * queries; row++) if (by(row, j)) return true;
      return false;
    },
    rows: batch * heads * queries,
  };
}

/** The call with the rows of some keys, in keys and values alike, overwritten. */
function poisoning(
  call: AttentionCall,
  poison: number,
  which: (b: number, g: number, j: number) => boolean,
): AttentionCall {
  const { batch, kvHeads, keys, past, headSize, valueHeadSize } = call.sizes;
  const overwrite = (view: HeadView, from: number, to: number, size: number): HeadView => {
    const data = view.data.slice();
    for (let b = 0; b < batch; b++)
      for (let g = 0; g < kvHeads; g++)
        for (let j = from; j < to; j++) {
          const at = b * view.batchStride + g * view.headStride + (j - from) * view.rowStride;
          if (which(b, g, j)) data.fill(poison, at, at + size);
        }
    return { ...view, data };
  };
  if (call.key.kind !== 'given' || call.value.kind !== 'given') throw new TypeError('given heads expected');
  return {
    ...call,
    past: {
      key: overwrite(call.past!.key, 0, past, headSize),
      value: overwrite(call.past!.value, 0, past, valueHeadSize),
    },
    key: { ...call.key, view: overwrite(call.key.view, past, keys, headSize) },
    value: { ...call.value, view: overwrite(call.value.view, past, keys, valueHeadSize) },
  };
}
