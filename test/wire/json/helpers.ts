import { isDeepStrictEqual } from 'node:util';
import { expect } from 'vitest';
import type { TensorFields } from '../../../src/contract/schemas/tensor.ts';
import type { AnswerTensor } from '../../../src/domain/answer.ts';
import { DEFAULT_LIMITS, type Limits } from '../../../src/domain/limits.ts';
import { Problem, type ProblemCode } from '../../../src/domain/problem.ts';
import type { Tensor } from '../../../src/domain/tensor.ts';
import type { Decoded, TensorEncoding } from '../../../src/wire/format.ts';
import { decodeJson } from '../../../src/wire/json/decode.ts';
import { encodeJson } from '../../../src/wire/json/encode.ts';
import { type CodecAddon, codecAddon } from '../../../src/wire/native/addon.ts';

export const FIELDS: TensorFields = {
  query: 'real',
  bias: 'real',
  'projections.w_q': 'real',
  'rope.positions': 'index',
  key_lengths: 'index',
  allow_mask: 'bool',
};

/** Decodes as the service does. */
export function decodeOnce(
  body: string | Uint8Array,
  limits: Partial<Limits> = {},
  addon: CodecAddon | null = codecAddon,
): Decoded {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  return decodeJson(bytes, { fields: FIELDS, limits: { ...DEFAULT_LIMITS, ...limits } }, addon);
}

/**
 * Decodes with the addon, where it is compiled, and without, and holds both to the same: tensors to the bit, problems to
 * the word. So every test of the codec is one of both.
 */
export function decode(body: string | Uint8Array, limits: Partial<Limits> = {}): Decoded {
  const portable = outcomeOf(() => decodeOnce(body, limits, null));
  if (codecAddon !== null) {
    const native = outcomeOf(() => decodeOnce(body, limits, codecAddon));
    if (!isDeepStrictEqual(plainOutcome(native), plainOutcome(portable))) {
      expect(plainOutcome(native)).toStrictEqual(plainOutcome(portable));
    }
  }
  if ('thrown' in portable) throw portable.thrown;
  return portable.result;
}

type Outcome<Result> = { readonly result: Result } | { readonly thrown: unknown };

function outcomeOf<Result>(run: () => Result): Outcome<Result> {
  try {
    return { result: run() };
  } catch (thrown) {
    return { thrown };
  }
}

/** Bits for numbers and data for problems, all of which deep equality tells apart. */
function plainOutcome(outcome: Outcome<Decoded>): unknown {
  if ('thrown' in outcome) {
    const { thrown } = outcome;
    return thrown instanceof Problem ? thrown.toData() : thrown;
  }
  const { envelope, tensors } = outcome.result;
  const bits = Object.entries(tensors).map(([path, { dtype, shape, data }]) => [
    path,
    dtype,
    [...shape],
    data.constructor.name,
    Buffer.from(data.buffer, data.byteOffset, data.byteLength),
  ]);
  return { envelope, bits };
}

/** The tensor of a body that has one field only. */
export function decodeTensor(value: string, path = 'query', rest = ''): Tensor {
  const names = path.split('.');
  const body = names.reduceRight((inner, name) => `{"${name}":${inner}}`, value);
  return decode(`${body.slice(0, -1)}${rest}}`).tensors[path];
}

/** Elements and shape of a tensor, to compare with what was meant. */
export function plain({ shape, data }: Tensor): { shape: readonly number[]; data: number[] } {
  return { shape, data: [...data] };
}

/** Expects a Problem with this code, pointer and text in the detail, and gives it back. */
export function refused(
  run: () => unknown,
  code: ProblemCode,
  pointer: string | RegExp,
  detail: string | RegExp,
): Problem {
  let thrown: unknown;
  try {
    run();
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(Problem);
  const problem = thrown as Problem;
  expect(problem.code).toBe(code);
  if (typeof pointer === 'string') expect(problem.errors[0].pointer).toBe(pointer);
  else expect(problem.errors[0].pointer).toMatch(pointer);
  expect(problem.errors[0].detail).toMatch(detail);
  return problem;
}

/** Encodes with the addon and without, and holds both to the same bytes or the same error. */
export function encode(
  tensors: Record<string, AnswerTensor>,
  encoding: TensorEncoding = 'nested',
  envelope = {},
): string {
  const [portable, native] = [null, codecAddon].map((addon) =>
    outcomeOf(() => Buffer.from(encodeJson({ tensors, envelope }, { encoding }, addon)).toString('utf8')),
  );
  if (!isDeepStrictEqual(native, portable)) expect(native).toStrictEqual(portable);
  if ('thrown' in portable) throw portable.thrown;
  return portable.result;
}

export function float32(shape: readonly number[], data: ArrayLike<number>): AnswerTensor {
  return { dtype: 'float32', shape, data: Float32Array.from(data) };
}
