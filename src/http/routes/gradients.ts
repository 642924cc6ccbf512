import type { ComputeRoute } from './compute-route.ts';

export const gradients: ComputeRoute = {
  url: '/v1/scaled-dot-product-attention/gradients',
  operation: 'scaled_dot_product_attention_gradients',
  operationId: 'scaledDotProductAttentionGradients',
  summary: 'Gradients of attention',
  description:
    'The vector-Jacobian product: from `grad_output`, ∂loss/∂output, come `grad_query`, `grad_key` and `grad_value`, ' +
    'each shaped as its input. All options of the operation itself apply.',
  response: 'GradientsResponse',
};
