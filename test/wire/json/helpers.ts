import { expect } from 'vitest';
import type { TensorFields } from '../../../src/contract/schemas/tensor.ts';
import type { AnswerTensor } from '../../../src/domain/answer.ts';
import { DEFAULT_LIMITS, type Limits } from '../../../src/domain/limits.ts';
import { Problem, type ProblemCode } from '../../../src/domain/problem.ts';
import type { Tensor } from '../../../src/domain/tensor.ts';
import type { Decoded, TensorEncoding } from '../../../src/wire/format.ts';
import { decodeJson } from '../../../src/wire/json/decode.ts';
import { encodeJson } from '../../../src/wire/json/encode.ts';

export const FIELDS: TensorFields = {
  query: 'real',
  bias: 'real',
  'projections.w_q': 'real',
  'rope.positions': 'index',
  key_lengths: 'index',
  allow_mask: 'bool',
};

export function decode(body: string | Uint8Array, limits: Partial<Limits> = {}): Decoded {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  return decodeJson(bytes, { fields: FIELDS, limits: { ...DEFAULT_LIMITS, ...limits } });
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

export function encode(
  tensors: Record<string, AnswerTensor>,
  encoding: TensorEncoding = 'nested',
  envelope = {},
): string {
  return Buffer.from(encodeJson({ tensors, envelope }, { encoding })).toString('utf8');
}

export function float32(shape: readonly number[], data: ArrayLike<number>): AnswerTensor {
  return { dtype: 'float32', shape, data: Float32Array.from(data) };
}
