import { wordValue } from '../../contract/validation/wording.ts';
import type { Limits } from '../../domain/limits.ts';
import { problemAt } from '../../domain/problem.ts';
import { cut } from '../../domain/quoted.ts';
import type { InferenceTarget } from '../format.ts';
import { scanRequest, splitRequest } from './scan.ts';

/**
 * What an inference request says of the sequence that it belongs to: the sequence extension of the protocol, with its
 * string ids.
 */
export interface Sequence {
  /** A number and a string are never the same id. */
  readonly id: bigint | string;
  /** Whether the request is the first of the sequence, and whether the last. */
  readonly starts: boolean;
  readonly ends: boolean;
}

export const SEQUENCE_PARAMETERS: readonly string[] = ['sequence_id', 'sequence_start', 'sequence_end'];

const LARGEST_ID = 2n ** 64n - 1n;
/** Characters of an id, as Triton has it. */
const LONGEST_ID = 128;
/** Bytes of the JSON that has such parameters: their names, as they are or with letters written as escapes. */
const SIGNS = ['sequence_', '\\u00'];

/** A number as it is written, since an id of 64 bits is more than a float64 holds. */
class Written {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/**
 * Reads from a body which sequence it belongs to, and steps over its tensors; null where it belongs to none, as an id of
 * 0 or "" says too.
 *
 * Throws `invalid_request` with a pointer to the parameter, and what decoding the body would throw for its JSON.
 */
export function sequenceOf(
  bytes: Uint8Array,
  { headerBytes }: Pick<InferenceTarget, 'headerBytes'>,
  limits: Limits,
): Sequence | null {
  const { json } = splitRequest(bytes, headerBytes);
  // A Buffer searches at the speed of memory.
  const searched = Buffer.from(json.buffer, json.byteOffset, json.byteLength);
  if (!SIGNS.some((sign) => searched.includes(sign))) return null;
  const { parameters } = JSON.parse(scanRequest(json, limits).text, asWritten) as { parameters?: unknown };
  return typeof parameters === 'object' && parameters !== null ? readSequence(parameters) : null;
}

function asWritten(name: string, value: unknown, context?: { readonly source?: string }): unknown {
  if (name !== 'sequence_id' || typeof value !== 'number') return value;
  return new Written(context?.source ?? String(value));
}

function readSequence(parameters: object): Sequence | null {
  const {
    sequence_id: given = '',
    sequence_start: starts = false,
    sequence_end: ends = false,
  } = parameters as Record<string, unknown>;
  const id = readId(given);
  const flags = { sequence_start: starts, sequence_end: ends };
  for (const [name, flag] of Object.entries(flags)) {
    if (typeof flag !== 'boolean') throw invalid(name, `Expected true or false; got ${described(flag)}`);
    if (flag && id === null) {
      const detail = `Expected the id of the sequence that ${name} is about, neither 0 nor ""; got ${described(given)}`;
      throw invalid('sequence_id', detail);
    }
  }
  return id === null ? null : { id, starts: starts === true, ends: ends === true };
}

function readId(given: unknown): bigint | string | null {
  if (typeof given === 'string' && given.length <= LONGEST_ID) return given === '' ? null : given;
  if (given instanceof Written && /^\d{1,20}$/.test(given.text)) {
    const id = BigInt(given.text);
    if (id <= LARGEST_ID) return id === 0n ? null : id;
  }
  const expected = `an integer from 0 to 2^64 - 1, or a string of at most ${LONGEST_ID} characters`;
  throw invalid('sequence_id', `Expected ${expected}; got ${described(given)}`);
}

function described(value: unknown): string {
  return value instanceof Written ? cut(value.text) : wordValue(value);
}

function invalid(name: string, detail: string) {
  return problemAt('invalid_request', `/parameters/${name}`, detail);
}
