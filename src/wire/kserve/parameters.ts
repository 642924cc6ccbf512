import type { TensorFields } from '../../contract/schemas/tensor.ts';
import { wordValue } from '../../contract/validation/wording.ts';
import type { Limits } from '../../domain/limits.ts';
import { type Problem, pointerToken, problemAt } from '../../domain/problem.ts';
import { decodeJson } from '../json/decode.ts';
import { isForbiddenName } from '../names.ts';
import type { Places } from '../places.ts';
import { SEQUENCE_PARAMETERS } from './sequence.ts';

/** What the parameters of a request say: the options of the operation, and what the protocol itself reads. */
export interface Parameters {
  /** The body that JSON would have, without its tensors. */
  readonly envelope: Record<string, unknown>;
  /** Whether outputs are sent as bytes unless they say otherwise. */
  readonly binary: boolean;
  /** Milliseconds after which the result is of no use. */
  readonly timeoutMs: number | undefined;
  /** Where the options of that body are. */
  readonly places: Places;
}

const POINTER = '/parameters';
/** Reserved for servers that schedule or forward by them; they change nothing here. */
const PASSED_OVER: ReadonlySet<string> = new Set(['priority', 'headers']);
const NO_FIELDS: TensorFields = {};

/**
 * Reads the parameters of a request. Those that the protocol reserves mean what it says; every other is an option of the
 * operation, and an object where it is a JSON string that begins with a brace. What they say of a sequence has been heard
 * where the request is `inSequence`, and is refused where not.
 * @throws {Problem} invalid_request or malformed_body, with a pointer to the parameter.
 */
export function readParameters(
  given: Readonly<Record<string, unknown>>,
  fields: TensorFields,
  limits: Limits,
  inSequence = false,
): Parameters {
  if (!inSequence) refuseSequence(given);
  const envelope: Record<string, unknown> = {};
  const places: Record<string, string> = {};
  for (const [name, value] of Object.entries(given)) {
    if (isReserved(name)) continue;
    const pointer = `${POINTER}/${pointerToken(name)}`;
    const path = name.split('.');
    place(envelope, path, readValue(value, pointer, limits), pointer);
    places[path.map((one) => `/${pointerToken(one)}`).join('')] = pointer;
  }
  refuseTensors(envelope, fields);
  return { envelope, binary: readBinary(given), timeoutMs: readTimeout(given), places };
}

function isReserved(name: string): boolean {
  if (name === 'binary_data_output' || name === 'timeout') return true;
  return PASSED_OVER.has(name) || SEQUENCE_PARAMETERS.includes(name) || name.startsWith('triton_');
}

function readBinary({ binary_data_output: binary = false }: Readonly<Record<string, unknown>>): boolean {
  if (typeof binary === 'boolean') return binary;
  throw invalid(`${POINTER}/binary_data_output`, `Expected true or false; got ${wordValue(binary)}`);
}

/** The protocol counts in microseconds; 0 is no timeout. */
function readTimeout({ timeout = 0 }: Readonly<Record<string, unknown>>): number | undefined {
  if (typeof timeout !== 'number' || !Number.isSafeInteger(timeout) || timeout < 0) {
    throw invalid(`${POINTER}/timeout`, `Expected microseconds, an integer >= 0; got ${wordValue(timeout)}`);
  }
  return timeout === 0 ? undefined : timeout / 1000;
}

/** An id of 0 or "" says that the request belongs to none. */
function refuseSequence(given: Readonly<Record<string, unknown>>): void {
  const name = SEQUENCE_PARAMETERS.find((one) => given[one]);
  if (name === undefined) return;
  const detail = 'Expected no sequence: of the models only registered layers have such';
  throw invalid(`${POINTER}/${name}`, detail);
}

function readValue(value: unknown, pointer: string, limits: Limits): unknown {
  if (typeof value !== 'string' || !/^\s*\{/.test(value)) return value;
  try {
    return decodeJson(Buffer.from(value), { fields: NO_FIELDS, limits }).envelope;
  } catch (error) {
    // Its places in bytes are places in that string.
    throw problemAt('malformed_body', pointer, `Expected an object as JSON. ${(error as Error).message}`);
  }
}

/** Puts an option at its path; objects that two parameters speak of become one. */
function place(
  envelope: Record<string, unknown>,
  path: readonly string[],
  value: unknown,
  pointer: string,
): void {
  let parent = envelope;
  for (const [depth, name] of path.entries()) {
    if (isForbiddenName(name)) throw invalid(pointer, `Expected the name of an option; got ${name}`);
    const isLast = depth === path.length - 1;
    const there = Object.hasOwn(parent, name) ? parent[name] : undefined;
    if (there === undefined) {
      parent[name] = isLast ? value : {};
    } else if (!isObject(there) || (isLast && !isObject(value))) {
      throw invalid(pointer, 'Expected one value for this option; got another beside it');
    } else if (isLast) {
      for (const [member, one] of Object.entries(value as object)) place(there, [member], one, pointer);
    }
    parent = parent[name] as Record<string, unknown>;
  }
}

/** Tensors are inputs. An object that looks like one would otherwise pass for one that has been read. */
function refuseTensors(envelope: Readonly<Record<string, unknown>>, fields: TensorFields): void {
  for (const path of Object.keys(fields)) {
    let value: unknown = envelope;
    for (const name of path.split('.')) {
      value = isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
    }
    if (value !== undefined) {
      const detail = `Expected ${path} among the inputs, since it is a tensor; got a parameter`;
      throw invalid(`${POINTER}/${pointerToken(path)}`, detail);
    }
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function invalid(pointer: string, detail: string): Problem {
  return problemAt('invalid_request', pointer, detail);
}
