import type { AttentionCall } from '../domain/call.ts';
import type { Limits } from '../domain/limits.ts';
import { withLinears } from '../domain/linears.ts';
import { Problem, problemAt } from '../domain/problem.ts';
import {
  allocateReal,
  elementTypeOf,
  type Precision,
  type RealArray,
  type Tensor,
} from '../domain/tensor.ts';
import type { Layer } from './layer.ts';
import { readMultiHeadAttention } from './read-attention.ts';
import type { MultiHeadAttentionBody } from './schemas/compute.ts';
import { FIXED_OPTIONS, type LayerAttentionBody, type LayerBody } from './schemas/layers.ts';
import type { PastTokens } from './session.ts';
import { shapeProblem } from './shapes.ts';

/**
 * One token, of zeros, through a layer: reading it checks that everything of the layer fits together, and computing it
 * packs the weights. Throws the Problems of reading a call.
 */
export function readTrial(layer: LayerBody, limits: Limits): AttentionCall {
  checkMatrices(layer);
  return readMultiHeadAttention({ ...layer, ...trialTokens(layer) } as MultiHeadAttentionBody, limits);
}

/** The matrices that tokens go through say how wide these are, so they are looked at before there are any. */
function checkMatrices({ projections, layout = 'in_out' }: LayerBody): void {
  for (const name of ['w_qkv', 'w_q', 'w_k', 'w_v'] as const) {
    const weight = projections[name];
    if (weight === undefined || (weight.shape.length === 2 && !weight.shape.includes(0))) continue;
    const axes = layout === 'in_out' ? '[D, output columns]' : '[output columns, D]';
    throw shapeProblem(`/projections/${name}`, `${axes} with layout "${layout}", both at least 1`, weight);
  }
}

/** What a call may not say, since its layer has said it: a Problem `invalid_option`, or null. */
export function fixedOptionOf(body: unknown): Problem | null {
  if (typeof body !== 'object' || body === null) return null;
  const given = FIXED_OPTIONS.filter((option) => Object.hasOwn(body, option));
  if (given.length === 0) return null;
  const errors = given.map((option) => ({
    pointer: `/${option}`,
    detail: 'Expected to be left out: a layer is registered with its own. PUT it again to change that.',
  }));
  return new Problem('invalid_option', `${errors[0].pointer}: ${errors[0].detail}`, errors);
}

/** Reads a call of a registered layer: its options are the layer's where the body does not give them. */
export function readLayerAttention(
  body: LayerAttentionBody,
  layer: Layer,
  limits: Limits,
  past: PastTokens | null = null,
): AttentionCall {
  checkWidths(body, layer);
  const precision = body.precision ?? layer.body.precision ?? 'float32';
  const kept = inPrecision(layer.body, precision);
  const rope = ropeOf(body.rope, kept.rope, layer.name);
  const whole = { ...kept, ...body, ...(rope === undefined ? {} : { rope }) };
  const call = readMultiHeadAttention(whole as MultiHeadAttentionBody, limits, past);
  return { ...withPacked(call, layer), layer: { name: layer.name, etag: layer.etag } };
}

/** The layer's RoPE with what the call says of it. */
function ropeOf(
  given: LayerAttentionBody['rope'],
  kept: LayerBody['rope'],
  name: string,
): MultiHeadAttentionBody['rope'] {
  if (given === undefined) return kept;
  const { pairing = kept?.pairing } = given;
  if (pairing === undefined) {
    const detail = `Expected "half" or "interleaved", since layer ${JSON.stringify(name)} has no rope of its own; it is missing.`;
    throw problemAt('invalid_option', '/rope/pairing', detail);
  }
  return { ...withoutKeptAngles(kept, given), ...given, pairing };
}

/** Without the angles that the layer keeps, as theta or as tables, where the call brings its own, in whichever form. */
function withoutKeptAngles(kept: LayerBody['rope'], given: NonNullable<LayerAttentionBody['rope']>) {
  if (kept === undefined || (given.theta ?? given.cos ?? given.sin) === undefined) return kept;
  const { theta, cos, sin, ...rest } = kept;
  return rest;
}

/** The tokens that a layer reads, by the input that holds them, and the matrix that says how wide they are. */
const SOURCES = [
  { field: 'embeddings', weight: 'w_q', letters: '[B, L, D]' },
  { field: 'context', weight: 'w_k', letters: '[B, S, D_context]' },
  { field: 'value_context', weight: 'w_v', letters: '[B, S, D_value_context]' },
] as const;
export const LAYER_TOKENS: readonly string[] = SOURCES.map(({ field }) => field);

/** Width of the tokens that a matrix of the layer reads. */
export function widthOf(
  { projections, layout }: LayerBody,
  weight: 'w_q' | 'w_k' | 'w_v',
): number | undefined {
  const { shape } = projections.w_qkv ?? projections[weight] ?? { shape: [] };
  return shape.length === 2 ? shape[layout === 'out_in' ? 1 : 0] : undefined;
}

/** Whoever calls a layer has given the tokens only, so it is they that are too wide or too narrow. */
function checkWidths(body: LayerAttentionBody, { name, body: layer }: Layer): void {
  for (const { field, weight, letters } of SOURCES) {
    const tokens = body[field];
    const width = widthOf(layer, weight);
    if (tokens === undefined || width === undefined || tokens.shape.at(-1) === width) continue;
    throw widthProblem(field, letters, width, name, tokens);
  }
  for (const [index, { field, weight }] of SOURCES.entries()) {
    const from = SOURCES.slice(0, index + 1).findLast((source) => body[source.field] !== undefined);
    const given = from === undefined ? undefined : body[from.field]?.shape.at(-1);
    const width = widthOf(layer, weight);
    if (given === undefined || width === undefined || given === width) continue;
    const detail = `Missing; layer ${JSON.stringify(name)} reads tokens of width ${width} here, and ${from?.field} has ${given}.`;
    throw problemAt('shape_mismatch', `/${field}`, detail);
  }
}

/** Tokens that are not as wide as the layer reads them; `letters` names their axes. */
export function widthProblem(
  field: string,
  letters: string,
  width: number,
  layer: string,
  tokens: Tensor,
): Problem {
  const expected = `${letters} with ${width} numbers a token, as layer ${JSON.stringify(layer)} reads`;
  return shapeProblem(`/${field}`, expected, tokens);
}

function trialTokens(
  layer: LayerBody,
): Pick<MultiHeadAttentionBody, 'embeddings' | 'context' | 'value_context'> {
  const precision = layer.precision ?? 'float32';
  const tokens = (weight: 'w_q' | 'w_k' | 'w_v'): Tensor<RealArray> => {
    const width = widthOf(layer, weight) ?? 1;
    return { dtype: elementTypeOf(precision), shape: [1, width], data: allocateReal(precision, width) };
  };
  const [embeddings, context, value_context] = SOURCES.map(({ weight }) => tokens(weight));
  return { embeddings, context, value_context };
}

/**
 * The members of an object with every tensor of real numbers as a call of this precision holds it. A layer holds its
 * tensors as its own precision does, so for most calls that is no work.
 */
function inPrecision<Members extends object>(members: Members, precision: Precision): Members {
  const type = elementTypeOf(precision);
  const convert = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null) return value;
    return isTensor(value) ? converted(value, type) : inPrecision(value, precision);
  };
  return Object.fromEntries(
    Object.entries(members).map(([name, value]) => [name, convert(value)]),
  ) as Members;
}

function isTensor(value: object): value is Tensor<RealArray> {
  return 'data' in value && ArrayBuffer.isView(value.data);
}

function converted(tensor: Tensor<RealArray>, type: 'float32' | 'float64'): Tensor<RealArray> {
  const isWide = tensor.data instanceof Float64Array;
  if (isWide === (type === 'float64')) return tensor;
  const data = allocateReal(type, tensor.data.length);
  data.set(tensor.data);
  const element = isWide ? data.findIndex((number) => !Number.isFinite(number)) : -1;
  if (element >= 0) {
    const detail = `The layer holds ${tensor.data[element]}, which is no ${type}; call it with precision "float64".`;
    throw problemAt('invalid_option', '/precision', detail);
  }
  return { ...tensor, data };
}

/** The call with its matrices marked as kept and named, and the packed form of each beside it. */
function withPacked(call: AttentionCall, { etag, packed }: Layer): AttentionCall {
  return withLinears(call, (linear, name) => {
    const form = packed[name];
    const kept = { ...linear, isKept: true, content: `${etag} ${name}` };
    return form === undefined ? kept : { ...kept, packed: form };
  });
}
