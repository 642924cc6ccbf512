import { readMultiHeadAttention } from '../../contract/read-attention.ts';
import { type MultiHeadAttentionBody, MultiHeadAttentionSchema } from '../../contract/schemas/compute.ts';
import type { ComputeRoute } from './compute-route.ts';

export const multiHeadAttention: ComputeRoute<MultiHeadAttentionBody> = {
  url: '/v1/multi-head-attention',
  operationId: 'multiHeadAttention',
  summary: 'Multi-head attention of token embeddings',
  description:
    'Q = X·W_Q + b_Q, K = C·W_K + b_K and V = C·W_V + b_V, where C is `context` or else the embeddings X; each head ' +
    'attends on its own, and the heads side by side times W_O, plus b_O, are the output. Projections may be packed in ' +
    'three orders and laid out in two ways; heads may share keys and values.',
  body: MultiHeadAttentionSchema,
  response: 'AttentionResponse',
  read: readMultiHeadAttention,
};
