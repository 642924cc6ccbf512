import { type TSchema, Type } from '@sinclair/typebox';
import { DTYPES, type ElementKind, type RealArray, type Tensor } from '../../domain/tensor.ts';

const FORMS =
  'Nested arrays, `[[1, 0], [0, 2]]`, or `{"dtype", "shape", "data"}` with row-major `data`: flat numbers, ' +
  'or a base64 string of the little-endian bytes.';

function nested(items: object, deepest: number): object[] {
  const ranks: object[] = [];
  for (let rank = 1, schema: object = { type: 'array', items }; rank <= deepest; rank++) {
    ranks.push(schema);
    schema = { type: 'array', items: schema };
  }
  return ranks;
}

function tensorForms(element: object, defaultDtype: string): object[] {
  return [
    ...nested(element, 4),
    {
      type: 'object',
      additionalProperties: false,
      required: ['shape', 'data'],
      properties: {
        dtype: { type: 'string', enum: [...DTYPES], default: defaultDtype },
        shape: { type: 'array', items: { type: 'integer', minimum: 0 } },
        data: {
          anyOf: [
            { type: 'array', items: { anyOf: [{ type: 'number' }, { type: 'boolean' }] } },
            { type: 'string', contentEncoding: 'base64' },
          ],
        },
      },
    },
  ];
}

/** Real numbers: `float32` unless the tensor says otherwise. NaN and infinities are refused. */
export const TensorSchema = Type.Unsafe<Tensor<RealArray>>({
  $id: 'Tensor',
  title: 'Tensor',
  description: `${FORMS} \`dtype\` is \`float32\` where not given.`,
  anyOf: tensorForms({ type: 'number' }, 'float32'),
});

/** Counts and positions. */
export const IndexTensorSchema = Type.Unsafe<Tensor<Float64Array>>({
  $id: 'IndexTensor',
  title: 'IndexTensor',
  description: `Counts or positions. ${FORMS}`,
  anyOf: tensorForms({ type: 'number' }, 'float64'),
});

/** Masks. Numbers are refused: they could be meant as an additive bias. */
export const BoolTensorSchema = Type.Unsafe<Tensor<Uint8Array>>({
  $id: 'BoolTensor',
  title: 'BoolTensor',
  description: `true and false. ${FORMS} \`dtype\` is \`bool\`.`,
  anyOf: tensorForms({ type: 'boolean' }, 'bool'),
});

const KIND_BY_ID: Readonly<Record<string, ElementKind>> = {
  Tensor: 'real',
  IndexTensor: 'index',
  BoolTensor: 'bool',
};

/** Schemas that a decoded body meets as a tensor; the wire has already read and checked them. */
export const TENSOR_SCHEMAS = [TensorSchema, IndexTensorSchema, BoolTensorSchema] as const;

export const Real = (description: string) =>
  Type.Unsafe<Tensor<RealArray>>({ ...Type.Ref('Tensor'), description });
export const Index = (description: string) =>
  Type.Unsafe<Tensor<Float64Array>>({ ...Type.Ref('IndexTensor'), description });
export const Bool = (description: string) =>
  Type.Unsafe<Tensor<Uint8Array>>({ ...Type.Ref('BoolTensor'), description });

/** Tensor fields of a body by their path, such as `query` or `projections.w_q`. */
export type TensorFields = Readonly<Record<string, ElementKind>>;

/** Where a schema says what else belongs to it. */
interface Referring {
  readonly $ref?: string;
  readonly anyOf?: readonly TSchema[];
  readonly properties?: Readonly<Record<string, TSchema>>;
}

/**
 * Finds the tensor fields of a body schema, so that the wire lifts exactly these out of the bytes. Looks into
 * objects and into unions of objects; `named` gives the schemas that are referred to by $id.
 */
export function tensorFields(body: TSchema, named: Readonly<Record<string, TSchema>> = {}): TensorFields {
  const fields: Record<string, ElementKind> = {};
  const visit = (schema: TSchema, path: string): void => {
    const { $ref, anyOf = [], properties = {} } = schema as Referring;
    const kind = $ref === undefined ? undefined : KIND_BY_ID[$ref];
    if (kind !== undefined) {
      fields[path] = kind;
      return;
    }
    const target = $ref === undefined ? undefined : named[$ref];
    if (target !== undefined) visit(target, path);
    for (const option of anyOf) visit(option, path);
    for (const [name, property] of Object.entries(properties)) {
      visit(property, path === '' ? name : `${path}.${name}`);
    }
  };
  visit(body, '');
  return fields;
}
