import { allocateReal, type Precision, type RealArray, type Tensor } from '../../src/domain/tensor.ts';
import type { Random } from '../support/random.ts';

/** Makes the tensors of a body in one precision. The same random source gives the same numbers in either. */
export class TensorMaker {
  readonly precision: Precision;
  readonly random: Random;

  constructor(precision: Precision, random: Random) {
    this.precision = precision;
    this.random = random;
  }

  normal(...shape: number[]): Tensor<RealArray> {
    return this.real(shape, () => this.random.normal());
  }

  real(shape: readonly number[], next: (flat: number) => number): Tensor<RealArray> {
    const data = allocateReal(this.precision, countOf(shape));
    for (let flat = 0; flat < data.length; flat++) data[flat] = next(flat);
    return { dtype: 'float32', shape, data };
  }

  index(shape: readonly number[], next: () => number): Tensor<Float64Array> {
    const data = new Float64Array(new SharedArrayBuffer(countOf(shape) * 8));
    for (let flat = 0; flat < data.length; flat++) data[flat] = next();
    return { dtype: 'int32', shape, data };
  }

  bool(shape: readonly number[], probability: number): Tensor<Uint8Array> {
    const data = new Uint8Array(new SharedArrayBuffer(countOf(shape)));
    for (let flat = 0; flat < data.length; flat++) data[flat] = this.random.uniform() < probability ? 1 : 0;
    return { dtype: 'bool', shape, data };
  }
}

export function countOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
