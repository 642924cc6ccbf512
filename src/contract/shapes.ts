import { type Problem, problemAt } from '../domain/problem.ts';
import { formatShape, type Tensor } from '../domain/tensor.ts';

/** A tensor of a shape that does not fit: says what was expected, in the contract's letters, and what came. */
export function shapeProblem(pointer: string, expected: string, got: Tensor, hint = ''): Problem {
  return problemAt(
    'shape_mismatch',
    pointer,
    `Expected ${expected}; got ${formatShape(got.shape)}.${hint === '' ? '' : ` ${hint}`}`,
  );
}

/** Checks that a tensor has exactly this shape. `letters` names the axes, as `[B, S]`. */
export function expectShape(
  pointer: string,
  tensor: Tensor,
  shape: readonly number[],
  letters: string,
): void {
  const fits =
    tensor.shape.length === shape.length && shape.every((size, axis) => size === tensor.shape[axis]);
  if (!fits) throw shapeProblem(pointer, `${letters} = ${formatShape(shape)}`, tensor);
}

/** Counts from 0 on shared memory. */
export function range(count: number): Int32Array {
  return sharedIndices(count, (index) => index);
}

export function sharedIndices(count: number, valueAt: (index: number) => number): Int32Array {
  const indices = new Int32Array(new SharedArrayBuffer(count * 4));
  for (let index = 0; index < count; index++) indices[index] = valueAt(index);
  return indices;
}
