import type { ComputeRoute } from './compute-route.ts';

export const multiHeadAttention: ComputeRoute = {
  url: '/v1/multi-head-attention',
  operation: 'multi_head_attention',
  operationId: 'multiHeadAttention',
  summary: 'Multi-head attention of token embeddings',
  description:
    'Q = X·W_Q + b_Q, K = C·W_K + b_K and V = C·W_V + b_V, where C is `context` or else the embeddings X; each head ' +
    'attends on its own, and the heads side by side times W_O, plus b_O, are the output. Projections may be packed in ' +
    'three orders and laid out in two ways; heads may share keys and values.',
  response: 'AttentionResponse',
};
