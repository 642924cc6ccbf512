import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { type ProjectionsBody, projectionOptions, tokenFields } from './compute.ts';
import { attentionOptions, RopeSchema } from './options.ts';

const closed = { additionalProperties: false } as const;

const { heads, kv_heads, scale, softcap, causal, window, alibi_slopes, sinks, empty_rows, precision } =
  attentionOptions;
const { pairing, theta, dims, cos, sin } = RopeSchema.properties;

/** What a layer keeps of RoPE: how positions turn into angles. Positions belong to a call. */
export const LayerRopeSchema = Type.Object(
  { pairing, theta, dims, cos, sin },
  {
    ...closed,
    $id: 'LayerRope',
    title: 'LayerRope',
    description: 'Rotary position embedding of a layer. A call says where its tokens stand.',
  },
);

/** Options that are kept with the projections: how they are to be read, and what every call gets unless it says more. */
export const layerOptions = {
  ...projectionOptions,
  heads,
  kv_heads,
  scale,
  softcap,
  causal,
  window,
  alibi_slopes,
  sinks,
  rope: Type.Optional(Type.Unsafe<Static<typeof LayerRopeSchema>>(Type.Ref('LayerRope'))),
  empty_rows,
  precision,
};
const LayerOptionsSchema = Type.Object(layerOptions, closed);
export type LayerOptions = Static<typeof LayerOptionsSchema>;

export const LayerSchema = Type.Object(
  { projections: Type.Unsafe<ProjectionsBody>(Type.Ref('Projections')), ...layerOptions },
  {
    ...closed,
    $id: 'LayerRequest',
    title: 'LayerRequest',
    description:
      'Projections, and the options of multi-head attention that belong to a layer. Masks, biases and positions ' +
      'belong to a call.',
  },
);
export type LayerBody = Static<typeof LayerSchema>;

const { heads: _heads, kv_heads: _kvHeads, rope: _rope, ...callOptions } = attentionOptions;

/** What a layer fixes for good, so that a call may not give it. */
export const FIXED_OPTIONS = ['projections', 'heads', 'kv_heads', ...Object.keys(projectionOptions)];

export const RopeOfCallSchema = Type.Partial(RopeSchema, {
  ...closed,
  $id: 'RopeOfCall',
  title: 'RopeOfCall',
  description: "Where the tokens of this call stand, and what differs from the layer's own RoPE.",
});

export const LayerAttentionSchema = Type.Object(
  {
    ...tokenFields,
    ...callOptions,
    rope: Type.Optional(Type.Unsafe<Static<typeof RopeOfCallSchema>>(Type.Ref('RopeOfCall'))),
  },
  {
    ...closed,
    $id: 'LayerAttentionRequest',
    title: 'LayerAttentionRequest',
    description:
      'As for multi-head attention, without projections, heads and layout, which are those of the layer. Other ' +
      "options take the place of the layer's; `rope` does so member by member, `theta` or `cos` and `sin` in place of " +
      'whichever of them the layer has.',
  },
);
export type LayerAttentionBody = Static<typeof LayerAttentionSchema>;

const layerName = Type.String({ description: 'Name of the layer.', examples: ['encoder.layer.0'] });
const etag = Type.String({
  description: 'SHA-256 of the file that `GET /v1/layers/{layer}/projections` sends, in hexadecimal digits.',
});

/** A registered layer as responses describe it; a function of its name and content. */
export const LayerDescriptionSchema = Type.Object(
  {
    name: layerName,
    etag,
    bytes: Type.Integer({ description: 'Size of that file.' }),
    options: Type.Object(
      {},
      {
        additionalProperties: true,
        description: 'Every option that is kept with the projections, tensors left out.',
      },
    ),
    tensors: Type.Record(
      Type.String(),
      Type.Object(
        { dtype: Type.String({ examples: ['float32'] }), shape: Type.Array(Type.Integer()) },
        closed,
      ),
      { description: 'By name, such as `w_q`, `b_qkv` or `rope.cos`.' },
    ),
  },
  {
    ...closed,
    $id: 'Layer',
    title: 'Layer',
    description: 'A registered layer.',
  },
);
export type LayerDescription = Static<typeof LayerDescriptionSchema>;

export const LayerListSchema = Type.Object(
  { layers: Type.Array(Type.Unsafe<LayerDescription>(Type.Ref('Layer'))) },
  { ...closed, $id: 'LayerList', title: 'LayerList', description: 'Every registered layer, by name.' },
);

/** Every schema of layers that others refer to by its $id. */
export const LAYER_SCHEMAS: readonly TSchema[] = [
  LayerRopeSchema,
  RopeOfCallSchema,
  LayerSchema,
  LayerAttentionSchema,
  LayerDescriptionSchema,
  LayerListSchema,
];
