import type { Layers } from '../../../service/layers.ts';
import type { ComputeRoute } from '../compute-route.ts';
import { LAYER_REFUSALS, LayerParams, layerNameOf } from './address.ts';

/** Attention by a registered layer. */
export function layerAttention(layers: Layers): ComputeRoute {
  return {
    url: '/v1/layers/:layer/attention',
    operation: 'layer_attention',
    operationId: 'layerAttention',
    summary: 'Multi-head attention by a registered layer',
    description:
      'As multi-head attention, with the projections of the layer and, where the body gives no others, its options. ' +
      '`applied.layer` says which content the layer had. The weights are held once for all calls, packed.',
    response: 'AttentionResponse',
    layer: {
      params: LayerParams,
      of: (request, signal) => layers.open(layerNameOf(request), signal),
      refusals: [...LAYER_REFUSALS, 'layer_damaged'],
    },
  };
}
