import type { InferenceRequestBody } from '../../contract/schemas/inference.ts';
import type { TensorFields } from '../../contract/schemas/tensor.ts';
import { suggest } from '../../contract/validation/suggest.ts';
import { listWords } from '../../contract/validation/wording.ts';
import { type Problem, problemAt } from '../../domain/problem.ts';
import { quoted } from '../../domain/quoted.ts';
import type { RequestedOutput } from './inference.ts';

/** Outputs, and the member of `return` that has each computed; undefined for what always is. */
const RETURNED_BY: Readonly<Record<string, string | undefined>> = {
  output: undefined,
  weights: 'weights',
  'weights.indices': 'weights',
  'weights.values': 'weights',
  logits: 'logits',
  log_sum_exp: 'log_sum_exp',
  present_key: 'kv',
  present_value: 'kv',
};
const GRADIENTS: readonly string[] = ['grad_query', 'grad_key', 'grad_value'];

/** The outputs of an operation that has these fields. */
export function outputNames(fields: TensorFields): readonly string[] {
  return [...('grad_output' in fields ? GRADIENTS : []), ...Object.keys(RETURNED_BY)];
}

/**
 * Reads which outputs are asked for, and switches on in `return` what has them computed, where that can mean one thing.
 * Changes the envelope.
 * @throws {Problem} invalid_request for an output that there is not, is asked for twice, or needs to be said more about.
 */
export function readOutputs(
  asked: InferenceRequestBody['outputs'],
  envelope: Record<string, unknown>,
  fields: TensorFields,
  binary: boolean,
): readonly RequestedOutput[] | null {
  if (asked === undefined || asked.length === 0) return null;
  const known = outputNames(fields);
  const seen = new Set<string>();
  return asked.map(({ name, parameters }, ordinal) => {
    const pointer = `/outputs/${ordinal}/name`;
    if (!known.includes(name)) throw invalid(pointer, unknownOutput(name, known));
    if (seen.has(name)) throw invalid(pointer, `Expected each output once; got "${name}" again`);
    seen.add(name);
    switchOn(envelope, name, pointer);
    return { name, binary: parameters?.binary_data ?? binary };
  });
}

function switchOn(envelope: Record<string, unknown>, name: string, pointer: string): void {
  const member = RETURNED_BY[name];
  if (member === undefined) return;
  const returned = envelope.return ?? {};
  // What is no object is refused with the other options.
  if (typeof returned !== 'object' || returned === null || Array.isArray(returned)) return;
  const { [member]: asked = false } = returned as Record<string, unknown>;
  if (member === 'weights') checkWeights(name, asked, pointer);
  if (member === 'logits' && asked === false) {
    throw invalid(
      pointer,
      'Expected the parameter return.logits to name their stage, "raw", "scaled", "capped" or "masked"',
    );
  }
  if (asked === false) envelope.return = { ...returned, [member]: true };
}

/** With top_k a map is two tensors, without it one. */
function checkWeights(name: string, asked: unknown, pointer: string): void {
  const isStrongest = typeof asked === 'object' && asked !== null && 'top_k' in asked;
  if (isStrongest === (name !== 'weights')) return;
  const detail = isStrongest
    ? 'Expected "weights.indices" or "weights.values", which top_k gives in place of "weights"'
    : `Expected the parameter return.weights.top_k, which "${name}" come of`;
  throw invalid(pointer, detail);
}

function unknownOutput(name: string, known: readonly string[]): string {
  const near = suggest(name, known);
  const hint = near.length === 0 ? '' : `; did you mean ${listWords(near.map((one) => `"${one}"`))}?`;
  return `Expected an output among ${known.join(', ')}; got ${quoted(name)}${hint}`;
}

function invalid(pointer: string, detail: string): Problem {
  return problemAt('invalid_request', pointer, detail);
}
