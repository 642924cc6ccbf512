import type { Examples } from './example.ts';

/** Base64 of the little-endian float32 bytes. */
const float32Bytes = (...numbers: number[]): string =>
  Buffer.from(new Float32Array(numbers).buffer).toString('base64');

export const scaledDotProductAttentionExamples: Examples = {
  one_query: {
    summary: 'One query, two keys',
    description:
      'q = [1, 2] meets k₁ = [1, 0] and k₂ = [0, 2]: the scores are 1·1 + 2·0 = 1 and 1·0 + 2·2 = 4. Softmax makes ' +
      'them the weights 0.047 and 0.953, and the output is their mix of the values 4 and 10.',
    value: {
      query: [[1, 2]],
      key: [
        [1, 0],
        [0, 2],
      ],
      value: [[4], [10]],
      scale: 1,
      return: { weights: true, logits: 'scaled' },
    },
  },
  weighted_average: {
    summary: 'Attention is a weighted average',
    description:
      'The scores 0 and ln 3 give the weights 0.25 and 0.75; over the values 4 and 10 the output is ' +
      '0.25·4 + 0.75·10 = 8.5.',
    value: {
      query: [[1]],
      key: [[0], [1.0986122886681098]],
      value: [[4], [10]],
      scale: 1,
      return: { weights: true },
    },
  },
  causal: {
    summary: 'Three tokens, each sees itself and those before it',
    description: 'The upper triangle of the attention map is 0: no token looks ahead.',
    value: {
      query: [
        [1, 0],
        [0, 1],
        [1, 1],
      ],
      key: [
        [1, 0],
        [0, 1],
        [1, 1],
      ],
      value: [
        [1, 0],
        [0, 1],
        [2, 2],
      ],
      causal: 'upper_left',
      return: { weights: true },
    },
  },
  padding_and_heads: {
    summary: 'A batch of two, four query heads over two key/value heads, padded keys',
    description:
      'Grouped-query attention: query heads 0 and 1 read key/value head 0, heads 2 and 3 read head 1. The second ' +
      'sample has one real key only; `causal: "lower_right"` follows it.',
    value: {
      query: [[[1, 0, 1, 1]], [[0, 1, 1, 0]]],
      key: [
        [
          [1, 0],
          [0, 1],
        ],
        [
          [1, 1],
          [0, 0],
        ],
      ],
      value: [
        [
          [1, 10],
          [2, 20],
        ],
        [
          [3, 30],
          [0, 0],
        ],
      ],
      heads: 4,
      kv_heads: 2,
      key_lengths: [2, 1],
      causal: 'lower_right',
    },
  },
  masks_and_biases: {
    summary: 'A mask, an additive bias, ALiBi, a softcap, a window and a sink at once',
    description:
      'In this order: scale, softcap, bias and ALiBi, masks, sink in the denominator, softmax. Masks intersect.',
    value: {
      query: [
        [1, 0],
        [0, 1],
      ],
      key: [
        [1, 0],
        [0, 1],
        [1, 1],
      ],
      value: [[1], [2], [3]],
      softcap: 30,
      bias: [
        [0, 0.5, 0],
        [0, 0, -0.5],
      ],
      alibi_slopes: [0.5],
      allow_mask: [
        [true, true, false],
        [true, true, true],
      ],
      window: { left: 1, right: null },
      sinks: [0],
      return: { weights: true, logits: 'masked' },
    },
  },
  bytes: {
    summary: 'Tensors as base64 bytes, in both directions',
    description: 'The form for programs: no number is printed or parsed. A float32 takes 4 bytes.',
    value: {
      query: { dtype: 'float32', shape: [1, 2], data: float32Bytes(1, 2) },
      key: { dtype: 'float32', shape: [2, 2], data: float32Bytes(1, 0, 0, 2) },
      value: { dtype: 'float32', shape: [2, 1], data: float32Bytes(4, 10) },
      response: { encoding: 'base64' },
    },
  },
  everything: {
    summary: 'Everything on the way, in float64, with keys and values of earlier tokens',
    description:
      'The reference arithmetic, and besides the output the attention map, the logits, the log-sum-exp of each row, ' +
      'and the keys and values to send back with the next token.',
    value: {
      query: [[1, 2]],
      key: [[0, 2]],
      value: [[10]],
      past_key: [[1, 0]],
      past_value: [[4]],
      causal: true,
      scale: 1,
      precision: 'float64',
      return: { weights: true, logits: 'raw', log_sum_exp: true, kv: true },
    },
  },
};
