import { Type } from '@sinclair/typebox';
import type { ProblemCode } from '../../domain/problem.ts';
import { INFERENCE_JSON } from '../kserve-reply.ts';
import { problemResponses } from './responses.ts';

interface ProblemResponse {
  readonly content: Record<string, { readonly examples: Record<string, Example> }>;
}

interface Example {
  readonly summary: string;
  readonly value: { readonly detail: string };
}

/** Error responses by status, as the Open Inference Protocol says them, with an example of each code. */
export function inferenceErrors(codes: readonly ProblemCode[], path: string): Record<number, object> {
  const entries = Object.entries(problemResponses(codes, path) as Record<number, ProblemResponse>);
  return Object.fromEntries(
    entries.map(([status, { content, ...rest }]) => {
      const [{ examples }] = Object.values(content);
      const said = Object.entries(examples).map(([code, { summary, value }]) => {
        return [code, { summary, value: { error: value.detail } }];
      });
      const error = { schema: Type.Ref('InferenceError'), examples: Object.fromEntries(said) };
      return [status, { ...rest, content: { [INFERENCE_JSON]: error } }];
    }),
  );
}
