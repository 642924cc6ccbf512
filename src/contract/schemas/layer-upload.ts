import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { MAPPINGS } from '../mappings/registry.ts';
import { ProjectionsSchema } from './compute.ts';
import { layerOptions } from './layers.ts';
import { RopeSchema } from './options.ts';

const { heads, kv_heads, layout, scale, softcap, zero_attention, empty_rows, precision } = layerOptions;
const { pairing, theta, dims } = RopeSchema.properties;
const side = (description: string) => Type.Optional(Type.Integer({ minimum: 0, description }));

/** Options of a layer as the query of an address says them: members of members by their path. */
const optionsOfQuery = {
  heads,
  kv_heads,
  layout,
  scale,
  softcap,
  zero_attention,
  empty_rows,
  precision,
  causal: Type.Optional(
    Type.Union(
      (['none', 'upper_left', 'lower_right'] as const).map((kind) => Type.Literal(kind)),
      { description: 'As in a body.' },
    ),
  ),
  'causal.offset': Type.Optional(Type.Integer({ description: 'Key j <= query i + offset.' })),
  'window.left': side('Keys to the left besides the current one.'),
  'window.right': side('Keys to the right besides the current one.'),
  'rope.pairing': Type.Optional(pairing),
  'rope.theta': theta,
  'rope.dims': dims,
  'projections.packed_order': ProjectionsSchema.properties.packed_order,
};

/** What the address leaves out, the file or its mapping says: no default may come in between. */
function withoutDefaults<Schemas extends Readonly<Record<string, TSchema>>>(schemas: Schemas): Schemas {
  const entries = Object.entries(schemas).map(([name, { default: _default, ...schema }]) => [name, schema]);
  return Object.fromEntries(entries) as Schemas;
}

/** How a safetensors file is to be read as a layer. */
export const LayerUploadSchema = Type.Object(
  {
    mapping: Type.Optional(
      Type.Union(
        MAPPINGS.map(({ name }) => Type.Literal(name)),
        {
          description: `Whose names the tensors have: ${MAPPINGS.map(({ name, title }) => `\`${name}\`, ${title}`).join('; ')}. The first one where not given.`,
        },
      ),
    ),
    prefix: Type.Optional(
      Type.String({
        maxLength: 512,
        description: 'What stands in front of the names of this layer, such as `encoder.layer.0`.',
      }),
    ),
    ...withoutDefaults(optionsOfQuery),
  },
  { additionalProperties: false },
);
export type LayerUpload = Static<typeof LayerUploadSchema>;
