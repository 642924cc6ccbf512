import type { ComputeRoute } from './compute-route.ts';

export const scaledDotProductAttention: ComputeRoute = {
  url: '/v1/scaled-dot-product-attention',
  operation: 'scaled_dot_product_attention',
  operationId: 'scaledDotProductAttention',
  summary: 'Attention of given queries, keys and values',
  description:
    'softmax(scale·QKᵀ, masked)·V, for tensors of rank 4 `[B, H, L, d]`, 3 `[B, L, H·d]` or 2 `[L, H·d]`; the output ' +
    'has the rank of the query. In this order: scale·QKᵀ, softcap, bias and ALiBi, masks, sink in the denominator, ' +
    'softmax, ·V. The output is the same to the bit whatever else is returned.',
  response: 'AttentionResponse',
};
