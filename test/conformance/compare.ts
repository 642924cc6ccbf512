import type { Expectation, Precision } from './adapter.ts';
import { type Numbers, numbers, sizeOf } from './arrays.ts';
import type { CaseTensor } from './cases.ts';

/**
 * A tensor of a response, nested or base64. Nested float32 numbers are written as the shortest decimals that read back
 * as the same float32; null stands for -Infinity.
 */
function responseNumbers(tensor: unknown, precision: Precision): Numbers {
  if (!Array.isArray(tensor)) return numbers(tensor as CaseTensor);
  const shape: number[] = [];
  for (let level: unknown = tensor; Array.isArray(level); level = level[0]) shape.push(level.length);
  const flat = tensor.flat(Number.POSITIVE_INFINITY) as (number | null)[];
  const rounded = (value: number) => (precision === 'float32' ? Math.fround(value) : value);
  return { shape, values: Float64Array.from(flat, (value) => rounded(value ?? Number.NEGATIVE_INFINITY)) };
}

/** What is wrong with a result, or null: its shape, or the element that is farthest outside the tolerance. */
export function difference(
  tensor: unknown,
  precision: Precision,
  { result, expected, tolerance, where }: Expectation,
): string | null {
  if (tensor === undefined) return `${result} is missing`;
  const got = responseNumbers(tensor, precision);
  if (got.shape.join() !== expected.shape.join()) {
    return `${result} has shape [${got.shape}], expected [${expected.shape}]`;
  }
  let worst = 0;
  let message: string | null = null;
  for (let flat = 0; flat < expected.values.length; flat++) {
    const [a, e] = [got.values[flat], expected.values[flat]];
    if (a === e || (where !== undefined && !where(...coordinates(flat, expected.shape)))) continue;
    const bound = tolerance.absolute + tolerance.relative * Math.abs(e);
    const excess = Math.abs(a - e) - bound;
    if (excess <= worst) continue;
    worst = excess;
    message = `${result}[${coordinates(flat, expected.shape)}] is ${a}, expected ${e} within ${bound}`;
  }
  return message;
}

function coordinates(flat: number, shape: readonly number[]): number[] {
  let block = sizeOf(shape);
  return shape.map((size) => {
    block /= size;
    return Math.floor(flat / block) % size;
  });
}
