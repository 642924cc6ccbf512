import type { Examples } from './example.ts';
import { identity, projections, theCatSat } from './two-heads.ts';

export const multiHeadAttentionExamples: Examples = {
  the_cat_sat: {
    summary: 'Three words, two heads: "the cat sat"',
    description:
      'Each word is a vector of four numbers. W_Q, W_K and W_V make queries, keys and values of it, two heads attend ' +
      'on their own, and W_O joins them. The attention map of both heads comes back.',
    value: { embeddings: theCatSat, heads: 2, projections, return: { weights: true } },
  },
  causal_with_rope: {
    summary: 'A causal decoder layer with rotary positions',
    description: 'Each word sees itself and those before it; queries and keys are rotated by their position.',
    value: {
      embeddings: theCatSat,
      heads: 2,
      causal: true,
      rope: { pairing: 'half' },
      projections,
    },
  },
  cross_attention: {
    summary: 'Cross-attention: queries from one sentence, keys and values from another',
    description: 'Two words of a translation look at the three words of its source.',
    value: {
      embeddings: [
        [0, 1, 1, 0],
        [1, 0, 0, 1],
      ],
      context: theCatSat,
      heads: 2,
      projections,
      return: { weights: { reduce: 'mean' } },
    },
  },
  packed_pytorch: {
    summary: "Packed and biased, as PyTorch's MultiheadAttention keeps its parameters",
    description:
      '`in_proj_weight` is w_qkv and `in_proj_bias` is b_qkv, with the layout `out_in`; one learned key and value ' +
      '(`add_bias_kv`) and a zero one (`add_zero_attn`) stand behind the others, so the map has two columns more.',
    value: {
      embeddings: theCatSat,
      heads: 2,
      layout: 'out_in',
      projections: {
        w_qkv: [...projections.w_q, ...projections.w_k, ...projections.w_v],
        b_qkv: [0.1, 0, 0, 0, 0, 0.1, 0, 0, 0, 0, 0.1, 0],
        packed_order: 'qkv',
        w_o: identity,
        b_o: [0, 0, 0, 0.1],
      },
      k_extra: [0.5, 0, 0, 0.5],
      v_extra: [0, 0, 1, 1],
      zero_attention: true,
      return: { weights: true },
    },
  },
  everything: {
    summary: 'Everything on the way: the strongest keys, logits, log-sum-exp, keys and values',
    description:
      'For each word and head the two words it looks at most, and every intermediate that can be asked for.',
    value: {
      embeddings: theCatSat,
      heads: 2,
      projections,
      return: { weights: { top_k: 2 }, logits: 'masked', log_sum_exp: true, kv: true },
    },
  },
};
