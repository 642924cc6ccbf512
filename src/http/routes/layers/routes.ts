import type { FastifyInstance } from 'fastify';
import type { Layers } from '../../../service/layers.ts';
import { type ComputeOptions, compute } from '../../plugins/compute.ts';
import { addComputeRoute } from '../compute-route.ts';
import { layerAttention } from './layer-attention.ts';
import { addLayerProjections } from './layer-projections.ts';
import { addLayerResources } from './layer-resource.ts';
import { addPutLayer } from './put-layer.ts';

export interface LayerRoutesOptions extends ComputeOptions {
  readonly layers: Layers;
}

/** Everything about registered layers. */
export async function layerRoutes(scope: FastifyInstance, options: LayerRoutesOptions): Promise<void> {
  const { layers } = options;
  addLayerResources(scope, layers);
  addLayerProjections(scope, options);
  await scope.register(async (bodies) => {
    await bodies.register(compute, options);
    addPutLayer(bodies, layers);
    addComputeRoute(bodies, layerAttention(layers));
  });
}
