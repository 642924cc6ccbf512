import { expect, it } from 'vitest';
import type { AttentionCall, HeadView, Rope } from '../../../src/domain/call.ts';
import type { Kernel, Memory } from '../../../src/kernels/kernel.ts';
import { overflowed } from '../../../src/kernels/status.ts';
import {
  type CallOptions,
  causal,
  everything,
  makeCall,
  randomMask,
  range,
  real,
  withGradients,
} from '../../support/calls.ts';
import { expectSameBits, expectWithin } from '../../support/expect.ts';
import { gradientOracle } from '../../support/oracle/gradients.ts';
import { seeded, shuffled } from '../../support/random.ts';
import { gradRows, REVERSED, resultsOf, run } from '../../support/run.ts';
import { prefixOf, sampleOf } from '../../support/slices.ts';
import { OPTION_SETS } from './options.ts';

const ROLES = ['query', 'key', 'value'] as const;
const LENGTHS = [1, 3, 31, 32, 33, 63, 64, 65, 127, 128, 129, 257];
const HEAD_SIZES = [1, 3, 8, 64, 80];

/** grad_query, grad_key and grad_value of the calls that have them: given queries, keys and values. */
export function gradients(kernel: Kernel): void {
  const { precision } = kernel;
  const optionSets = Object.entries(OPTION_SETS).filter(
    ([, options]) => options(precision).projections === undefined,
  );

  it.each(LENGTHS)('agree with the oracle at length %i, whatever the head size', (length) => {
    for (const headSize of length > 65 ? [8] : HEAD_SIZES) {
      const common: CallOptions = { precision, headSize, seed: length * 100 + headSize };
      expectOracle(kernel, makeCall({ ...common, queries: length, visibility: causal(1) }));
      expectOracle(kernel, makeCall({ ...common, queries: 3, newKeys: length, valueHeadSize: headSize + 1 }));
      expectOracle(kernel, makeCall({ ...common, queries: length, newKeys: 3 }));
    }
  });

  it.each(optionSets)('agree with the oracle with %s', (_name, options) => {
    expectOracle(kernel, makeCall(options(precision)));
  });

  it('agree with the oracle with many options at once, across blocks of keys and queries', () => {
    const score = {
      scale: 0.4,
      softcap: 3,
      alibiSlopes: real(precision, [0.5, 0.25, 0.125, 0.0625]),
      sinks: real(precision, [1, 0, -1, 2]),
    };
    const visibility = { causal: true, offsets: [40, 0], windowLeft: 70, keyLengths: [203, 150] };
    const sizes = { batch: 2, queries: 170, newKeys: 170, past: 33, extras: 1, heads: 4, kvHeads: 2 };
    expectOracle(kernel, makeCall({ ...sizes, precision, headSize: 6, valueHeadSize: 5, score, visibility }));
  });

  it('leave the other results as they are, to the bit', () => {
    for (const [name, options] of optionSets) {
      const call = everything(makeCall(options(precision)));
      const results = resultsOf(run(kernel, call).memory);
      const { memory } = run(kernel, withGradients(call));
      for (const [result, values] of Object.entries(results))
        if (!result.startsWith('row_')) expectSameBits(`${result} with ${name}`, memory[result], values);
    }
  });

  it.each(optionSets)('are those of each sample alone, to the bit, with %s', (_name, options) => {
    const call = withGradients(makeCall(options(precision)));
    const whole = run(kernel, call).memory;
    for (const sample of range(call.sizes.batch)) {
      const alone = run(kernel, sampleOf(call, sample)).memory;
      forEachGradient(alone, (name, { length }) =>
        expectSameBits(name, alone[name], whole[name].subarray(sample * length, (sample + 1) * length)),
      );
    }
  });

  it('of the first queries of a causal call stay when tokens follow, to the bit', () => {
    const visibility = { ...causal(1), windowLeft: 60 };
    const call = withGradients(
      makeCall({ precision, queries: 140, heads: 2, storage: 'rows_first', visibility }),
    );
    const whole = run(kernel, call).memory.grad_query;
    for (const length of [1, 2, 31, 32, 33, 63, 64, 65, 100, 128, 129]) {
      const start = run(kernel, prefixOf(call, length)).memory.grad_query;
      expectSameBits(`grad_query of ${length} rows`, start, whole.subarray(0, start.length));
    }
  });

  it('do not mind the order of tiles, to the bit', () => {
    const sizes = { batch: 2, queries: 100, newKeys: 300, heads: 4, kvHeads: 2, headSize: 8 };
    const forbid = randomMask(makeCall(sizes).sizes, seeded(3), 0.3);
    const call = withGradients(makeCall({ ...sizes, precision, visibility: { forbid } }));
    const inOrder = run(kernel, call).memory;
    for (const order of [
      REVERSED,
      ...[4, 5].map((seed) => (tiles: number) => shuffled(tiles, seeded(seed))),
    ]) {
      const other = run(kernel, call, order).memory;
      forEachGradient(inOrder, (name, values) => expectSameBits(name, other[name], values));
    }
  });

  it('do not mind what was computed before, to the bit', () => {
    const sizes = { precision, queries: 5, newKeys: 40, headSize: 8 };
    const call = withGradients(makeCall(sizes));
    const expected = run(kernel, call).memory;
    const large = makeCall({ ...sizes, queries: 32 });
    if (large.query.kind === 'given') large.query.view.data.fill(precision === 'float64' ? 1e300 : 1e37);
    run(kernel, { ...everything(large), gradOutput: withGradients(large).gradOutput });
    const { memory } = run(kernel, call);
    for (const role of ROLES)
      expectSameBits(`grad_${role}`, memory[`grad_${role}`], expected[`grad_${role}`]);
  });

  it('do not mind how heads lie in memory, to the bit', () => {
    const options: CallOptions = {
      precision,
      batch: 2,
      queries: 40,
      newKeys: 70,
      past: 3,
      heads: 4,
      kvHeads: 2,
    };
    const [one, other] = (['heads_first', 'rows_first'] as const).map((storage) =>
      run(kernel, withGradients(makeCall({ ...options, storage }))),
    );
    for (const role of ROLES) expectSameBits(`grad_${role}`, gradRows(one, role), gradRows(other, role));
  });

  it('are zero for a query that sees one key alone, whose weight is 1 whatever the query is', () => {
    const visibility = { ...causal(1), windowLeft: 0 };
    const call = withGradients(
      makeCall({ precision, queries: 70, headSize: 5, valueHeadSize: 33, visibility }),
    );
    const { grad_query, grad_key, grad_value } = run(kernel, call).memory;
    expect(grad_query.every((x) => x === 0)).toBe(true);
    expect(grad_key.every((x) => x === 0)).toBe(true);
    expect(Array.from(grad_value)).toEqual(Array.from(call.gradOutput!.data));
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, 3e38])(
    'hold nothing of keys that nobody sees, nor of queries that see nothing, though they hold %d',
    (poison) => {
      // Queries 0 to 9 see nothing; keys 20 to 29 and those from 90 on are seen by nobody.
      const sizes = { queries: 100, newKeys: 120, heads: 2, kvHeads: 1 };
      const score = { softcap: 2 };
      const visibility = { ...causal(1, -10), keyLengths: [110] };
      const call = makeCall({ ...sizes, precision, score, visibility });
      const keyValid = new Uint8Array(120).map((_, key) => (key >= 20 && key < 30 ? 0 : 1));
      const clean = withGradients({ ...call, visibility: { ...call.visibility, keyValid } });
      const isBlind = (query: number) => query < 10;
      const isHidden = (key: number) => (key >= 20 && key < 30) || key >= 90;
      const poisoned = {
        ...clean,
        query: overwritten(clean.query, isBlind, poison),
        key: overwritten(clean.key, isHidden, poison),
        value: overwritten(clean.value, isHidden, poison),
        gradOutput: overwrittenView(clean.gradOutput!, isBlind, poison),
      };
      const expected = run(kernel, clean).memory;
      const { memory, status } = run(kernel, poisoned);
      forEachGradient(expected, (name, values) => expectSameBits(name, memory[name], values));
      expect(overflowed(status)).toBe(false);
    },
  );

  it('of queries that do not see a key hold nothing of it', () => {
    const call = withGradients(makeCall({ precision, queries: 100, heads: 2, visibility: causal(1) }));
    const clean = run(kernel, call).memory.grad_query;
    const isPoisoned = (key: number) => key === 60;
    const poisoned = run(kernel, {
      ...call,
      key: overwritten(call.key, isPoisoned, Number.NaN),
      value: overwritten(call.value, isPoisoned, Number.NaN),
    });
    for (const head of [0, 1]) {
      const rows = (memory: Memory) => memory.grad_query.subarray(head * 100 * 8, (head * 100 + 60) * 8);
      expectSameBits(`head ${head}`, rows(poisoned.memory), rows({ grad_query: clean }));
    }
    expect(overflowed(poisoned.status)).toBe(true);
  });

  it.each([0, 1, 2, 3, 4, 5])('report what is too large after its rotation back by %d', (first) => {
    const rope: Rope = {
      pairing: 'half',
      theta: 1,
      dims: 2,
      queryPositions: { kind: 'from', first: 0 },
      keyPositions: { kind: 'from', first },
      table: null,
    };
    const sizes = { queries: 1, newKeys: 2, headSize: 2, valueHeadSize: 1 };
    const call = withGradients(makeCall({ precision, ...sizes, score: { scale: 1 }, rope }));
    const [large, one] = precision === 'float32' ? [1.2e29, 1e10] : [1.2e298, 1e10];
    const loud = {
      ...call,
      query: overwritten(call.query, () => true, 1e10),
      key: overwritten(call.key, () => true, 0),
      value: overwritten(call.value, (row) => row === 1, large),
      gradOutput: overwrittenView(call.gradOutput!, () => true, one),
    };
    const job = run(kernel, { ...loud, value: overwritten(loud.value, (row) => row === 0, 0) });
    if (overflowed(job.status)) return;
    forEachGradient(job.memory, (name, values) => {
      expect(values.every(Number.isFinite), name).toBe(true);
    });
  });

  it('report what is too large for the precision', () => {
    const call = withGradients(makeCall({ precision, queries: 9, newKeys: 9 }));
    const huge = precision === 'float32' ? 1e38 : 1e307;
    const gradOutput = { ...call.gradOutput!, data: call.gradOutput!.data.map((x) => x * huge) };
    if (call.value.kind !== 'given') throw new TypeError('given heads expected');
    const view = { ...call.value.view, data: call.value.view.data.map((x) => x * 1000) };
    const loud = { ...call, gradOutput, value: { ...call.value, view } };
    expect(overflowed(run(kernel, call).status)).toBe(false);
    expect(overflowed(run(kernel, loud).status)).toBe(true);
  });
}

function expectOracle(kernel: Kernel, call: AttentionCall): void {
  const gradientCall = withGradients(call);
  const job = run(kernel, gradientCall);
  const expected = gradientOracle(gradientCall);
  for (const role of ROLES) expectWithin(`grad_${role}`, gradRows(job, role), expected[`grad_${role}`]);
  expect(overflowed(job.status)).toBe(false);
}

function forEachGradient(memory: Memory, visit: (name: string, values: Memory[string]) => void): void {
  for (const role of ROLES) visit(`grad_${role}`, memory[`grad_${role}`]);
}

function overwritten(
  source: AttentionCall['query'],
  which: (row: number) => boolean,
  x: number,
): AttentionCall['query'] {
  if (source.kind !== 'given') throw new TypeError('given heads expected');
  return { ...source, view: overwrittenView(source.view, which, x) };
}

/** The view of one sample, its heads first, with some rows overwritten. */
function overwrittenView(view: HeadView, which: (row: number) => boolean, x: number): HeadView {
  const data = view.data.slice();
  const rows = view.headStride / view.rowStride;
  for (let row = 0; row < data.length / view.rowStride; row++)
    if (which(row % rows)) data.fill(x, row * view.rowStride, (row + 1) * view.rowStride);
  return { ...view, data };
}
