import type { TSchema } from '@sinclair/typebox';
import { ANSWER_SCHEMAS } from './answer.ts';
import {
  GradientsSchema,
  MultiHeadAttentionSchema,
  ProjectionsSchema,
  ScaledDotProductAttentionSchema,
} from './compute.ts';
import { INFERENCE_SCHEMAS } from './inference.ts';
import { InfoSchema, LivenessSchema, ReadinessSchema } from './info.ts';
import { LAYER_SCHEMAS } from './layers.ts';
import { CausalSchema, ResponseOptionsSchema, ReturnSchema, RopeSchema, WindowSchema } from './options.ts';
import { ProblemSchema } from './problem.ts';
import { SESSION_SCHEMAS } from './sessions.ts';
import { TENSOR_SCHEMAS, type TensorFields, tensorFields } from './tensor.ts';

/** Every schema that others refer to by its $id. */
export const NAMED_SCHEMAS: readonly TSchema[] = [
  ...TENSOR_SCHEMAS,
  CausalSchema,
  WindowSchema,
  RopeSchema,
  ReturnSchema,
  ResponseOptionsSchema,
  ProjectionsSchema,
  ScaledDotProductAttentionSchema,
  GradientsSchema,
  MultiHeadAttentionSchema,
  ...LAYER_SCHEMAS,
  ...ANSWER_SCHEMAS,
  ...SESSION_SCHEMAS,
  ProblemSchema,
  InfoSchema,
  LivenessSchema,
  ReadinessSchema,
  ...INFERENCE_SCHEMAS,
];

const byId = Object.fromEntries(NAMED_SCHEMAS.map((schema) => [schema.$id as string, schema]));

/** Tensor fields of a body schema, references followed. */
export function tensorFieldsOf(body: TSchema): TensorFields {
  return tensorFields(body, byId);
}
