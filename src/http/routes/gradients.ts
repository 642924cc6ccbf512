import { readGradients } from '../../contract/read-attention.ts';
import { type GradientsBody, GradientsSchema } from '../../contract/schemas/compute.ts';
import type { ComputeRoute } from './compute-route.ts';

export const gradients: ComputeRoute<GradientsBody> = {
  url: '/v1/scaled-dot-product-attention/gradients',
  operationId: 'scaledDotProductAttentionGradients',
  summary: 'Gradients of attention',
  description:
    'The vector-Jacobian product: from `grad_output`, ∂loss/∂output, come `grad_query`, `grad_key` and `grad_value`, ' +
    'each shaped as its input. All options of the operation itself apply.',
  body: GradientsSchema,
  response: 'GradientsResponse',
  read: readGradients,
};
