import { type Static, Type } from '@sinclair/typebox';
import { LAYER_NAME } from '../../../domain/layer-name.ts';
import type { ProblemCode } from '../../../domain/problem.ts';
import { EXAMPLE_LAYER } from '../../openapi/examples/layers.ts';

/** What of an address names a layer. */
export const LayerParams = Type.Object({
  layer: Type.String({
    pattern: LAYER_NAME,
    description: 'Name of the layer: lower-case letters, digits, dots, dashes and underscores.',
    examples: [EXAMPLE_LAYER],
  }),
});

/** The name of the layer that a request is about; its route has `LayerParams`. */
export function layerNameOf({ params }: { readonly params: unknown }): string {
  return (params as Static<typeof LayerParams>).layer;
}

/** How a route about one layer may be refused, besides what its body may be refused for. */
export const LAYER_REFUSALS: readonly ProblemCode[] = ['not_found', 'store_unavailable'];

/** How a route without a body about one layer may be refused. */
export const READ_REFUSALS: readonly ProblemCode[] = ['invalid_request', 'invalid_header', ...LAYER_REFUSALS];

const ETag = Type.String({ description: 'The etag of the layer, in double quotes.' });

/** Headers of responses about one layer. */
export const layerHeaders = {
  ETag,
  'Last-Modified': Type.String({ description: 'When this content was registered under this name.' }),
};
