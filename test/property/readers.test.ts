import fc from 'fast-check';
import { afterAll, expect, it } from 'vitest';
import {
  readGradients,
  readMultiHeadAttention,
  readScaledDotProductAttention,
} from '../../src/contract/read-attention.ts';
import type { AttentionCall, Broadcast, HeadSource, HeadView, Linear } from '../../src/domain/call.ts';
import { DEFAULT_LIMITS } from '../../src/domain/limits.ts';
import { Problem } from '../../src/domain/problem.ts';
import type { RealArray } from '../../src/domain/tensor.ts';
import { anyMhaBody, anySdpaBody } from './any-bodies.ts';
import { parameters } from './arbitraries.ts';

/*
 * Bodies that have the form of the schema, with shapes and options that mostly do not fit together. A reader gives a
 * call whose every place lies inside its tensors, or a problem that points at a field; never anything else.
 */

const counts = { calls: 0, problems: 0 };
afterAll(() => console.log(`${counts.calls} calls and ${counts.problems} problems from random bodies`));

const READERS = [
  ['scaled dot-product attention', anySdpaBody, readScaledDotProductAttention, 50_000],
  ['gradients', anySdpaBody, readGradients, 20_000],
  ['multi-head attention', anyMhaBody, readMultiHeadAttention, 40_000],
] as const;

it.each(READERS)(
  'reads random bodies of %s or says what is wrong',
  { timeout: 120_000 },
  (_name, bodies, read, runs) => {
    fc.assert(
      fc.property(bodies as fc.Arbitrary<object>, (body) => {
        let call: AttentionCall;
        try {
          call = (read as (body: object, limits: typeof DEFAULT_LIMITS) => AttentionCall)(
            body,
            DEFAULT_LIMITS,
          );
        } catch (error) {
          if (!(error instanceof Problem)) throw error;
          counts.problems++;
          if (error.errors.length === 0) throw new Error(`no pointer: ${error.message}`);
          for (const { pointer, detail } of error.errors)
            if (!/^(\/[^/]+)+$/.test(pointer) || detail === '')
              throw new Error(`pointer "${pointer}": ${detail}`);
          return error.status >= 400 && error.status < 500;
        }
        counts.calls++;
        return staysInside(call);
      }),
      parameters(runs),
    );
  },
);

it('met both outcomes often', () => {
  expect(counts.calls).toBeGreaterThan(3000);
  expect(counts.problems).toBeGreaterThan(50_000);
});

/** Whether every element that the kernels will read lies inside its array. */
function staysInside(call: AttentionCall): boolean {
  const { sizes, past, score, visibility, rope, outputProjection, extras, gradOutput } = call;
  const { batch, heads, kvHeads, queries, keys, headSize, valueHeadSize } = sizes;
  const newKeys = keys - sizes.past;
  const head = (view: HeadView, count: number, rows: number, size: number) =>
    lastOf([view.batchStride, batch], [view.headStride, count], [view.rowStride, rows], [1, size]) <
    view.data.length;
  const source = (from: HeadSource, count: number, rows: number, size: number) =>
    from.kind === 'given'
      ? head(from.view, count, rows, size)
      : from.tokens.rows === rows &&
        from.tokens.width === from.linear.inWidth &&
        from.tokens.data.length === batch * rows * from.linear.inWidth &&
        linear(from.linear, count, size);
  const broadcast = (tensor: Broadcast<RealArray | Uint8Array> | null) =>
    tensor === null ||
    lastOf(
      [tensor.batchStride, batch],
      [tensor.headStride, heads],
      [tensor.queryStride, queries],
      [1, keys],
    ) < tensor.data.length;
  const positions = (of: NonNullable<typeof rope>['queryPositions'], rows: number) =>
    of.kind === 'from' || lastOf([of.batchStride, batch], [1, rows]) < of.table.length;
  return (
    source(call.query, heads, queries, headSize) &&
    source(call.key, kvHeads, newKeys, headSize) &&
    source(call.value, kvHeads, newKeys, valueHeadSize) &&
    (past === null ||
      (head(past.key, kvHeads, sizes.past, headSize) &&
        head(past.value, kvHeads, sizes.past, valueHeadSize))) &&
    extras.every(
      ({ key, value }) => key.length === kvHeads * headSize && value.length === kvHeads * valueHeadSize,
    ) &&
    (outputProjection === null || linear(outputProjection, 1, sizes.outputWidth)) &&
    (gradOutput === null || head(gradOutput, heads, queries, valueHeadSize)) &&
    [score.bias, visibility.allow, visibility.forbid].every(broadcast) &&
    [score.alibiSlopes, score.sinks].every((each) => each === null || each.length === heads) &&
    (visibility.keyValid === null || visibility.keyValid.length === batch * keys) &&
    visibility.offsets.length === batch &&
    visibility.keyLengths.length === batch &&
    (rope === null || (positions(rope.queryPositions, queries) && positions(rope.keyPositions, newKeys)))
  );
}

function linear(
  { weight, inStride, outStride, inWidth, headSize, headColumn, bias, biasColumn }: Linear,
  heads: number,
  size: number,
) {
  if (headSize !== size || headColumn.length !== heads) return false;
  return headColumn.every(
    (column, head) =>
      (inWidth - 1) * inStride + (column + size - 1) * outStride < weight.length &&
      (bias === null || biasColumn[head] + size <= bias.length),
  );
}

/** The last place of a strided tensor; before the first where it holds nothing. */
function lastOf(...axes: [stride: number, size: number][]): number {
  if (axes.some(([, size]) => size === 0)) return -1;
  return axes.reduce((last, [stride, size]) => last + stride * (size - 1), 0);
}
