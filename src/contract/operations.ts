import type { TSchema } from '@sinclair/typebox';
import type { AttentionCall } from '../domain/call.ts';
import type { Limits } from '../domain/limits.ts';
import type { Problem } from '../domain/problem.ts';
import type { Layer } from './layer.ts';
import { readGradients, readMultiHeadAttention, readScaledDotProductAttention } from './read-attention.ts';
import { fixedOptionOf, LAYER_TOKENS, readLayerAttention } from './read-layer.ts';
import { readAppend } from './read-session.ts';
import {
  GradientsSchema,
  MultiHeadAttentionSchema,
  ScaledDotProductAttentionSchema,
} from './schemas/compute.ts';
import { tensorFieldsOf } from './schemas/index.ts';
import { LayerAttentionSchema } from './schemas/layers.ts';
import type { AttentionOptions } from './schemas/options.ts';
import { AppendSchema } from './schemas/sessions.ts';
import type { TensorFields } from './schemas/tensor.ts';
import type { SessionState } from './session.ts';
import { suggestLayout } from './suggest-layout.ts';
import { bodyValidator } from './validation/body-validator.ts';

/** What reading a call needs to know besides the body. Plain data, so that it can be handed to another thread. */
export interface CallContext {
  readonly limits: Limits;
  /** The registered layer that is called, for operations that call one. */
  readonly layer?: Layer | undefined;
  /** The session that is appended to, for operations that append to one. */
  readonly session?: SessionState | undefined;
  /** Whether that session is a sequence of the Open Inference Protocol. */
  readonly inSequence?: boolean | undefined;
}

/** What every body of a call may say. */
export type CallBody = Omit<AttentionOptions, 'rope'>;

/** What can be computed: the schema of its body, and how that is read as a call. */
export interface Operation<Body extends CallBody = CallBody> {
  /** Names the operation to other threads. */
  readonly name: string;
  /** Has an $id. */
  readonly body: TSchema & { static: Body };
  /** The tensors that are to be lifted out of a body's bytes. */
  readonly fields: TensorFields;
  /** Those whose elements go into the arithmetic alone: how a call is read hangs on their shapes and on nothing else. */
  readonly tokens: readonly string[];
  /** Gets ready to look for faults, so that the first body need not wait for it. */
  compile(): void;
  /** What is wrong with the form of a decoded body, or null. */
  faultOf(body: unknown): Problem | null;
  /** Throws Problems `shape_mismatch`, `invalid_option` and the like. */
  read(body: Body, context: CallContext): AttentionCall;
}

/** Every operation that is a body in and a call out. A new one is a row here. */
export const OPERATIONS: readonly Operation[] = [
  operation('scaled_dot_product_attention', ScaledDotProductAttentionSchema, (body, { limits }) =>
    readScaledDotProductAttention(body, limits),
  ),
  operation('scaled_dot_product_attention_gradients', GradientsSchema, (body, { limits }) =>
    readGradients(body, limits),
  ),
  operation('multi_head_attention', MultiHeadAttentionSchema, (body, { limits }) => {
    try {
      return readMultiHeadAttention(body, limits);
    } catch (error) {
      throw suggestLayout(error, body, (other) => readMultiHeadAttention(other, limits));
    }
  }),
  operation(
    'layer_attention',
    LayerAttentionSchema,
    (body, { layer, limits }) => {
      if (layer === undefined) throw new TypeError('The call of a layer has none.');
      return readLayerAttention(body, layer, limits);
    },
    { firstFaultOf: fixedOptionOf, tokens: LAYER_TOKENS },
  ),
  operation('session_append', AppendSchema, (body, { layer, session, limits, inSequence }) => {
    if (layer === undefined || session === undefined) throw new TypeError('The append has no session.');
    return readAppend(body, layer, session, limits, inSequence);
  }),
];

export function operationNamed(name: string): Operation {
  const found = OPERATIONS.find((candidate) => candidate.name === name);
  if (found === undefined) throw new Error(`There is no operation ${name}.`);
  return found;
}

interface OperationOptions {
  /** Finds what is to be said before the schema is asked. */
  readonly firstFaultOf?: (body: unknown) => Problem | null;
  readonly tokens?: readonly string[];
}

function operation<Body extends CallBody>(
  name: string,
  body: TSchema & { static: Body },
  read: (body: Body, context: CallContext) => AttentionCall,
  { firstFaultOf = () => null, tokens = [] }: OperationOptions = {},
): Operation<Body> {
  let compiled: ReturnType<typeof bodyValidator> | undefined;
  const validate = () => (compiled ??= bodyValidator(body));
  return {
    name,
    body,
    fields: tensorFieldsOf(body),
    tokens,
    compile: validate,
    faultOf: (decoded) => firstFaultOf(decoded) ?? validate()(decoded),
    read,
  };
}
