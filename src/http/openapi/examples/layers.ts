import type { Examples } from './example.ts';
import { projections, theCatSat } from './two-heads.ts';

/** The layer that the examples register, call, and begin sessions on. */
export const EXAMPLE_LAYER = 'encoder.layer.0';

export const putLayerExamples: Examples = {
  two_heads: {
    summary: 'Two heads, width 4',
    description:
      'The projections of a layer and how many heads they are. Large ones are better sent as a safetensors file.',
    value: { heads: 2, projections },
  },
  decoder: {
    summary: 'A causal layer with rotary positions and one key/value head for two query heads',
    description: 'What belongs to the layer is kept with it; a call then carries its tokens only.',
    value: {
      heads: 2,
      kv_heads: 1,
      causal: 'lower_right',
      rope: { pairing: 'half', theta: 10000 },
      projections: {
        ...projections,
        w_k: projections.w_k.map((row) => row.slice(0, 2)),
        w_v: projections.w_v.map((row) => row.slice(0, 2)),
      },
    },
  },
};

export const layerAttentionExamples: Examples = {
  the_cat_sat: {
    summary: 'Three words through the layer',
    description: 'The call carries the tokens; everything else is the layer.',
    value: { embeddings: theCatSat },
  },
  with_maps: {
    summary: 'With the attention maps, each word seeing itself and those before it',
    description: 'What a call says takes the place of what the layer says; the projections stay.',
    value: { embeddings: theCatSat, causal: 'lower_right', return: { weights: true } },
  },
};
