import type { FastifyInstance } from 'fastify';
import { type ComputeOptions, compute } from '../plugins/compute.ts';
import { addComputeRoute } from './compute-route.ts';
import { gradients } from './gradients.ts';
import { multiHeadAttention } from './multi-head-attention.ts';
import { scaledDotProductAttention } from './scaled-dot-product-attention.ts';

/** Every compute operation. A new one is a file of its own and a line here. */
export async function computeRoutes(scope: FastifyInstance, options: ComputeOptions): Promise<void> {
  await scope.register(compute, options);
  addComputeRoute(scope, scaledDotProductAttention);
  addComputeRoute(scope, gradients);
  addComputeRoute(scope, multiHeadAttention);
}
