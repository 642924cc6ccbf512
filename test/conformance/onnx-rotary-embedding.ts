import { type Family, FLOAT32, SDPA } from './adapter.ts';
import { build, indices, type Numbers, numbers } from './arrays.ts';
import { attribute, type CaseTensor, type ConformanceCase } from './cases.ts';

/**
 * ONNX `RotaryEmbedding`: the tensor is sent as the key (and, since a call needs them, as query and value), and comes
 * back rotated as `present_key`.
 */
export const onnxRotaryEmbedding: Family = {
  name: 'onnx-rotary-embedding',
  exchanges(given) {
    const { X } = given.inputs;
    const heads = X.shape.length === 4 ? X.shape[1] : attribute(given, 'num_heads', 1);
    const body = { query: X, key: X, value: X, heads, rope: ropeOf(given, heads), return: { kv: true } };
    const expected = numbers(given.outputs.Y);
    return [{ path: SDPA, body, expectations: [{ result: 'present_key', expected, tolerance: FLOAT32 }] }];
  },
};

function ropeOf(given: ConformanceCase, heads: number): object {
  const { X, cos_cache, sin_cache, position_ids } = given.inputs;
  const size = X.shape.length === 4 ? X.shape[3] : X.shape[2] / heads;
  const dims = attribute(given, 'rotary_embedding_dim', 0);
  const positions = indices(position_ids === undefined ? rowsInOrder(cos_cache) : numbers(position_ids));
  return {
    pairing: attribute(given, 'interleaved', 0) === 1 ? 'interleaved' : 'half',
    dims: dims === 0 ? size : dims,
    cos: table(cos_cache),
    sin: table(sin_cache),
    positions,
    key_positions: positions,
  };
}

/** Caches of rank 3, [B, L, dims/2], hold a row for each token: as one table, sample after sample. */
function table(cache: CaseTensor): CaseTensor {
  const { shape } = cache;
  return { ...cache, shape: [shape.slice(0, -1).reduce((rows, size) => rows * size, 1), shape.at(-1)!] };
}

function rowsInOrder({ shape: [batch, rows] }: CaseTensor): Numbers {
  return build([batch, rows], (b, i) => b * rows + i);
}
