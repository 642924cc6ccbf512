import type {
  AttentionCall,
  Broadcast,
  HeadSource,
  HeadView,
  Indices,
  Positions,
  ResultTensor,
} from './call.ts';
import type { RealArray } from './tensor.ts';

/** The samples [from, to) of a call, as a call of their own over the same memory. */
export function samplesOf(call: AttentionCall, from: number, to: number): AttentionCall {
  const { sizes, visibility, rope, past, results, gradOutput, keptPresent } = call;
  const count = to - from;
  // Roles that share their tokens do so afterwards: kernels know them by their array.
  const tokens = new Map<RealArray, RealArray>();
  const tokensOf = (data: RealArray, size: number): RealArray => {
    const known = tokens.get(data) ?? data.subarray(from * size, to * size);
    tokens.set(data, known);
    return known;
  };
  const source = (given: HeadSource): HeadSource => {
    if (given.kind === 'given') return { ...given, view: viewFrom(given.view, from) };
    const { data, rows, width } = given.tokens;
    return { ...given, tokens: { ...given.tokens, data: tokensOf(data, rows * width) } };
  };
  const result = ({ shape, strides }: ResultTensor): ResultTensor => ({
    shape: [count, ...shape.slice(1)],
    strides,
  });
  return {
    ...call,
    sizes: { ...sizes, batch: count },
    query: source(call.query),
    key: source(call.key),
    value: source(call.value),
    past: past && { key: viewFrom(past.key, from), value: viewFrom(past.value, from) },
    score: { ...call.score, bias: broadcastFrom(call.score.bias, from) },
    visibility: {
      ...visibility,
      offsets: indicesOf(visibility.offsets, from, to),
      keyLengths: indicesOf(visibility.keyLengths, from, to),
      allow: broadcastFrom(visibility.allow, from),
      forbid: broadcastFrom(visibility.forbid, from),
      keyValid: visibility.keyValid?.subarray(from * sizes.keys, to * sizes.keys) ?? null,
    },
    rope: rope && {
      ...rope,
      queryPositions: positionsFrom(rope.queryPositions, from),
      keyPositions: positionsFrom(rope.keyPositions, from),
    },
    results: {
      ...results,
      output: result(results.output),
      presentKey: result(results.presentKey),
      presentValue: result(results.presentValue),
    },
    gradOutput: gradOutput && viewFrom(gradOutput, from),
    firstRow: (call.firstRow ?? 0) + from * sizes.heads * sizes.queries,
    ...(keptPresent && {
      keptPresent: {
        from: keptPresent.from,
        key: viewFrom(keptPresent.key, from),
        value: viewFrom(keptPresent.value, from),
      },
    }),
  };
}

function viewFrom(view: HeadView, sample: number): HeadView {
  return { ...view, data: view.data.subarray(sample * view.batchStride) };
}

function broadcastFrom<Data extends RealArray | Uint8Array>(
  tensor: Broadcast<Data> | null,
  sample: number,
): Broadcast<Data> | null {
  return tensor && { ...tensor, data: tensor.data.subarray(sample * tensor.batchStride) as Data };
}

function indicesOf(indices: Indices, from: number, to: number): Indices {
  return indices instanceof Int32Array ? indices.subarray(from, to) : indices.slice(from, to);
}

function positionsFrom(positions: Positions, sample: number): Positions {
  if (positions.kind === 'from') return positions;
  return { ...positions, table: positions.table.subarray(sample * positions.batchStride) };
}
