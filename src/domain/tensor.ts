/** Element types a tensor may be sent in. */
export const DTYPES = ['float32', 'float64', 'float16', 'bfloat16', 'bool', 'int32', 'int64'] as const;
export type DType = (typeof DTYPES)[number];

/**
 * The arithmetic of a call. bfloat16: the operands of products are rounded to bfloat16, all else is float32, also
 * every tensor that is held or returned.
 */
export const PRECISIONS = ['float32', 'float64', 'bfloat16'] as const;
export type Precision = (typeof PRECISIONS)[number];

/** The element type in which the tensors of a call are held and returned. */
export function elementTypeOf(precision: Precision): 'float32' | 'float64' {
  return precision === 'float64' ? 'float64' : 'float32';
}

/** Numbers as a call holds them: Float64Array for precision float64, else Float32Array. */
export type RealArray = Float32Array | Float64Array;

/**
 * What the elements of a tensor field are for, and so how they are held once decoded:
 * - `real`: numbers that take part in the arithmetic, held as `elementTypeOf` the precision of the call;
 * - `index`: counts and positions, held in float64 (exact to 2^53);
 * - `bool`: masks, one byte each, 0 or 1.
 */
export type ElementKind = 'real' | 'index' | 'bool';

/** A decoded tensor: row-major elements on shared memory, so that threads read them without a copy. */
export interface Tensor<Data extends RealArray | Uint8Array = RealArray | Uint8Array> {
  /** The element type in which the tensor was sent. */
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: Data;
}

/** Number of elements of a shape. Returns undefined when the product is not a safe integer. */
export function elementCount(shape: readonly number[]): number | undefined {
  let count = 1;
  for (const size of shape) {
    count *= size;
    if (!Number.isSafeInteger(count)) return undefined;
  }
  return count;
}

/** `[2, 3, 8]`, as shapes are written in messages. */
export function formatShape(shape: readonly (number | string)[]): string {
  return `[${shape.join(', ')}]`;
}

/** Zeroed real numbers on shared memory. `count` elements. */
export function allocateReal(precision: Precision, count: number): RealArray {
  return precision === 'float64'
    ? new Float64Array(new SharedArrayBuffer(count * 8))
    : new Float32Array(new SharedArrayBuffer(count * 4));
}

export function bytesPerElement(precision: Precision): number {
  return precision === 'float64' ? 8 : 4;
}
