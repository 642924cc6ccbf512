import { type Problem, problemAt } from '../../domain/problem.ts';
import { type DType, formatShape } from '../../domain/tensor.ts';
import { type ElementFault, unravel } from '../dtypes.ts';
import {
  DIGIT_0,
  DIGIT_9,
  LOWER_F,
  LOWER_N,
  LOWER_T,
  MINUS,
  OPEN_BRACE,
  OPEN_BRACKET,
  QUOTE,
} from './ascii.ts';
import { type Cursor, holds } from './cursor.ts';

/** Where an element stands: its JSON Pointer, and its index in the tensor where that is known. */
export interface Location {
  readonly pointer: string;
  readonly index: readonly number[];
}

/** Finds the element with this ordinal in the row that is being read. */
export type Locate = (ordinal: number) => Location;

export type Expectation = 'number' | 'boolean' | 'zero or one' | (string & {});

const LONGEST_QUOTE = 40;
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

const EXPECTED: Readonly<Record<string, string>> = {
  number: 'a number',
  boolean: 'true or false',
  'zero or one': 'true, false, 0 or 1',
};

const NUMBERS_IN_A_MASK =
  'Numbers could be meant as an additive bias, which goes in `bias`; a mask takes true and false, ' +
  'or {"dtype": "bool", "shape", "data"} with 0 and 1.';
const BOOLEANS_IN_NUMBERS =
  'true and false make a mask, which goes in `allow_mask`, `forbid_mask` or `key_valid`.';

export function invalidTensor(pointer: string, detail: string): Problem {
  return problemAt('invalid_tensor', pointer, detail);
}

/** What stands at `at` is not an element of this tensor; or it is not JSON at all, which is `malformed_body`. */
export function notAnElement(cursor: Cursor, at: number, expected: Expectation, where: Location): Problem {
  const isBadNumber =
    expected === 'number' && isNumber(cursor.bytes[at]) && !holds(cursor.bytes, at, '-Infinity');
  const got = isBadNumber ? undefined : describeValue(cursor, at);
  const what = EXPECTED[expected] ?? expected;
  if (got === undefined) return cursor.malformed(`Expected ${what}`, at, where.pointer);
  let detail = `Expected ${what} at ${place(where)}; got ${got}.`;
  if (expected === 'boolean' && isNumber(cursor.bytes[at])) detail += ` ${NUMBERS_IN_A_MASK}`;
  if (expected === 'number' && (got === 'true' || got === 'false')) detail += ` ${BOOLEANS_IN_NUMBERS}`;
  // What a writer of JSON has made of -Infinity, which JSON has not.
  const meant = got === 'null' ? '-Infinity' : got;
  if (expected === 'number') detail += adviceOn(meant, where.pointer);
  return invalidTensor(where.pointer, detail);
}

const MASKS =
  'Keys are forbidden by `allow_mask`, `forbid_mask`, `key_valid` or `key_lengths`; a bias adds finite numbers.';

/** What to send in place of -Infinity in a bias, which is how others forbid keys; nothing for another field or value. */
export function adviceOn(got: string, pointer: string): string {
  const isBias = pointer === '/bias' || pointer.startsWith('/bias/');
  return isBias && got === '-Infinity' ? ` ${MASKS}` : '';
}

/** A fault of an element of bytes, where nothing in the body leads to it but its index. `field` is a JSON Pointer. */
export function faultyElement(
  { element, expected, got }: ElementFault,
  shape: readonly number[],
  pointer: string,
  field = pointer,
): Problem {
  const advice = adviceOn(got, field);
  const detail = `Expected ${expected} at index ${formatShape(unravel(element, shape))}; got ${got}`;
  return invalidTensor(pointer, advice === '' ? detail : `${detail}.${advice}`);
}

/** The number at `at` rounds to an infinity. */
export function outOfRange(cursor: Cursor, at: number, dtype: DType, where: Location): Problem {
  return overflow(where, dtype, token(cursor, at));
}

const LARGEST: Readonly<Partial<Record<DType, string>>> = {
  float32: '3.4028235e+38',
  float64: '1.7976931348623157e+308',
  float16: '65504',
  bfloat16: '3.3895314e+38',
};

export function overflow(where: Location, dtype: DType, got: string): Problem {
  const largest = `Expected a number of magnitude at most ${LARGEST[dtype]} (${dtype}) at ${place(where)}`;
  // In words that are true of every format, and of a float64 in a call of float32 too.
  const advice = dtype === 'float64' ? '' : ' Elements of float64 with precision "float64" may be larger.';
  return invalidTensor(where.pointer, `${largest}; got ${got}.${advice}`);
}

function place({ index }: Location): string {
  return `index ${formatShape(index)}`;
}

function isNumber(byte: number): boolean {
  return byte === MINUS || (byte >= DIGIT_0 && byte <= DIGIT_9);
}

/**
 * Names the value at `at` for a message, from its first bytes. NaN and the infinities are no JSON, but some
 * writers put them there (Python's json, for one), so they are known by name. Undefined for what is no value.
 */
export function describeValue(cursor: Cursor, at: number): string | undefined {
  const byte = at < cursor.end ? cursor.bytes[at] : -1;
  if (byte === QUOTE) return 'a string';
  if (byte === OPEN_BRACKET) return 'an array';
  if (byte === OPEN_BRACE) return 'an object';
  const text = token(cursor, at);
  if (text === 'NaN' || text === 'Infinity' || text === '-Infinity') return text;
  if (byte === LOWER_T || byte === LOWER_F || byte === LOWER_N) {
    return text === 'true' || text === 'false' || text === 'null' ? text : undefined;
  }
  return isNumber(byte) && (text.endsWith('…') || NUMBER.test(text)) ? text : undefined;
}

/** The bytes from `at` up to a delimiter, cut where they are many. */
function token(cursor: Cursor, at: number): string {
  const text = cursor.ascii(at, Math.min(at + LONGEST_QUOTE + 1, cursor.end));
  const [first] = text.split(/[\s,\]}:"[{]/, 1);
  return first.length > LONGEST_QUOTE ? `${first.slice(0, LONGEST_QUOTE)}…` : first;
}
