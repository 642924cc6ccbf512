import type { AttentionCall, Broadcast, HeadSource, HeadView, Positions } from '../../src/domain/call.ts';
import type { RealArray } from '../../src/domain/tensor.ts';

/** One sample of a call, as a call of its own. */
export function sampleOf(call: AttentionCall, sample: number): AttentionCall {
  const { visibility, score, rope, past } = call;
  const view = (whole: HeadView): HeadView => ({
    ...whole,
    data: whole.data.subarray(sample * whole.batchStride),
  });
  const source = (whole: HeadSource): HeadSource => {
    if (whole.kind === 'given') return { ...whole, view: view(whole.view) };
    const { tokens } = whole;
    return {
      ...whole,
      tokens: { ...tokens, data: tokens.data.subarray(sample * tokens.rows * tokens.width) },
    };
  };
  const positions = (whole: Positions): Positions =>
    whole.kind === 'from' ? whole : { ...whole, table: whole.table.subarray(sample * whole.batchStride) };
  const { keys } = call.sizes;
  return {
    ...call,
    sizes: { ...call.sizes, batch: 1 },
    query: source(call.query),
    key: source(call.key),
    value: source(call.value),
    past: past === null ? null : { key: view(past.key), value: view(past.value) },
    gradOutput: call.gradOutput === null ? null : view(call.gradOutput),
    score: { ...score, bias: sampleOfBroadcast(score.bias, sample) },
    visibility: {
      ...visibility,
      offsets: [visibility.offsets[sample]],
      keyLengths: [visibility.keyLengths[sample]],
      allow: sampleOfBroadcast(visibility.allow, sample),
      forbid: sampleOfBroadcast(visibility.forbid, sample),
      keyValid: visibility.keyValid?.subarray(sample * keys, (sample + 1) * keys) ?? null,
    },
    rope:
      rope === null
        ? null
        : {
            ...rope,
            queryPositions: positions(rope.queryPositions),
            keyPositions: positions(rope.keyPositions),
          },
    results: {
      ...call.results,
      output: { ...call.results.output, shape: [1, ...call.results.output.shape.slice(1)] },
      presentKey: { ...call.results.presentKey, shape: [1, ...call.results.presentKey.shape.slice(1)] },
      presentValue: { ...call.results.presentValue, shape: [1, ...call.results.presentValue.shape.slice(1)] },
    },
  };
}

function sampleOfBroadcast<Data extends RealArray | Uint8Array>(
  whole: Broadcast<Data> | null,
  sample: number,
): Broadcast<Data> | null {
  return whole === null ? null : { ...whole, data: whole.data.subarray(sample * whole.batchStride) as Data };
}

/** The first tokens of a call in which every token is both a query and a key. */
export function prefixOf(call: AttentionCall, length: number): AttentionCall {
  const { sizes, visibility, results } = call;
  if (sizes.keys !== sizes.queries || sizes.batch !== 1)
    throw new RangeError('a prefix of one self-attending sample');
  const source = (whole: HeadSource): HeadSource =>
    whole.kind === 'given' ? whole : { ...whole, tokens: { ...whole.tokens, rows: length } };
  const shorter = (shape: readonly number[]) => shape.map((size) => (size === sizes.queries ? length : size));
  const result = <Result extends { shape: readonly number[] }>(whole: Result) => ({
    ...whole,
    shape: shorter(whole.shape),
  });
  return {
    ...call,
    sizes: { ...sizes, queries: length, keys: length },
    query: source(call.query),
    key: source(call.key),
    value: source(call.value),
    visibility: { ...visibility, keyLengths: [Math.min(visibility.keyLengths[0], length)] },
    results: {
      ...results,
      output: result(results.output),
      presentKey: result(results.presentKey),
      presentValue: result(results.presentValue),
    },
  };
}

/** A given source with its rows in another order: row i of the result is row order[i]. */
export function reordered(source: HeadSource, order: readonly number[]): HeadSource {
  if (source.kind !== 'given') throw new TypeError('only given heads can be reordered');
  const { data, batchStride, headStride, rowStride } = source.view;
  const out = data.slice();
  const samples = data.length / batchStride;
  const heads = batchStride / headStride;
  for (let b = 0; b < samples; b++)
    for (let h = 0; h < heads; h++)
      for (let i = 0; i < order.length; i++) {
        const base = b * batchStride + h * headStride;
        out.set(
          data.subarray(base + order[i] * rowStride, base + (order[i] + 1) * rowStride),
          base + i * rowStride,
        );
      }
  return { ...source, view: { ...source.view, data: out } };
}
