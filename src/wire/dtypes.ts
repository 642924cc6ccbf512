import { type DType, elementCount, type RealArray } from '../domain/tensor.ts';
import { copyBytes } from './copy-bytes.ts';
import { firstNotFinite } from './finite.ts';
import { sharedBytes, sharedFloat32, sharedFloat64 } from './shared-memory.ts';

/** Size of one element in the little-endian bytes of a tensor. */
export const ELEMENT_BYTES: Readonly<Record<DType, number>> = {
  float32: 4,
  float64: 8,
  float16: 2,
  bfloat16: 2,
  bool: 1,
  int32: 4,
  int64: 8,
};

/**
 * Elements as they are held before the precision of the call is known: every value of the dtype exactly.
 * float32, float16 and bfloat16 in a Float32Array; float64, int32 and int64 in a Float64Array; bool in a
 * Uint8Array of 0 and 1.
 */
export type Elements = RealArray | Uint8Array;

/** An exact copy on shared memory of its own. */
export function onSharedMemory(elements: Elements): Elements {
  const { length } = elements;
  if (elements instanceof Float32Array) return copied(elements, sharedFloat32(length));
  if (elements instanceof Float64Array) return copied(elements, sharedFloat64(length));
  return copied(elements, sharedBytes(length));
}

/** What is wrong with one element of a tensor: its place in row-major order, and what came. */
export interface ElementFault {
  readonly element: number;
  readonly expected: string;
  readonly got: string;
}

/**
 * Reads the little-endian bytes of a tensor, on a machine that is little-endian too (x86-64, ARM64). `bytes` holds a
 * whole number of elements; where it lies on shared memory in the form that is wanted, at a multiple of the size of an
 * element, it is used as it is. Returns the fault for NaN, an infinity, a bool that is neither 0 nor 1, or an int64
 * beyond ±2^53.
 */
export function readLittleEndian(dtype: DType, bytes: Uint8Array): Elements | ElementFault {
  const { buffer, byteOffset, length } = aligned(bytes, ELEMENT_BYTES[dtype]);
  const count = length / ELEMENT_BYTES[dtype];
  switch (dtype) {
    case 'float32':
      return finite(shared(new Float32Array(buffer, byteOffset, count), sharedFloat32));
    case 'float64':
      return finite(shared(new Float64Array(buffer, byteOffset, count), sharedFloat64));
    case 'float16':
      return finite(converted(new Float16Array(buffer, byteOffset, count), sharedFloat32(count)));
    case 'bfloat16':
      return finite(widenBfloat16(new Uint16Array(buffer, byteOffset, count)));
    case 'int32':
      return converted(new Int32Array(buffer, byteOffset, count), sharedFloat64(count));
    case 'int64':
      return readInt64(new Int32Array(buffer, byteOffset, count * 2));
    case 'bool':
      return zerosAndOnes(shared(bytes, sharedBytes));
  }
}

/** The bytes where a typed array of elements of this size may begin: as they are, or copied. */
export function aligned(bytes: Uint8Array, elementBytes: number): Uint8Array {
  if (bytes.byteOffset % elementBytes === 0) return bytes;
  const copy = sharedBytes(bytes.length);
  copyBytes(bytes, copy, 0);
  return copy;
}

function shared<Data extends Elements>(data: Data, allocate: (count: number) => Data): Data {
  return data.buffer instanceof SharedArrayBuffer ? data : copied(data, allocate(data.length));
}

/** Fills `to` with the elements of `from`, of the same type, and returns it. */
function copied<Data extends Elements>(from: Data, to: Data): Data {
  copyBytes(
    new Uint8Array(from.buffer, from.byteOffset, from.byteLength),
    new Uint8Array(to.buffer, to.byteOffset, to.byteLength),
    0,
  );
  return to;
}

/** Fills `to` with the elements of `from`, converting each, and returns it. */
export function converted<Data extends Elements>(from: ArrayLike<number>, to: Data): Data {
  to.set(from);
  return to;
}

function finite<Data extends RealArray>(data: Data): Data | ElementFault {
  const element = firstNotFinite(data);
  if (element < 0) return data;
  return { element, expected: 'a finite number', got: String(data[element]) };
}

/** A bfloat16 is the upper half of a float32. */
function widenBfloat16(halves: Uint16Array): Float32Array {
  const data = sharedFloat32(halves.length);
  const bits = new Uint32Array(data.buffer, data.byteOffset, data.length);
  for (let element = 0; element < halves.length; element++) bits[element] = halves[element] << 16;
  return data;
}

function readInt64(words: Int32Array): Float64Array | ElementFault {
  const data = sharedFloat64(words.length / 2);
  for (let element = 0; element < data.length; element++) {
    const high = words[element * 2 + 1];
    const low = words[element * 2] >>> 0;
    const value = high * 2 ** 32 + low;
    if (!Number.isSafeInteger(value)) {
      return { element, expected: SAFE_INTEGER, got: String((BigInt(high) << 32n) + BigInt(low)) };
    }
    data[element] = value;
  }
  return data;
}

/** What an int64 may be: beyond, neighbouring integers are one number in float64. */
export const SAFE_INTEGER = 'an integer from -(2^53 - 1) to 2^53 - 1';

function zerosAndOnes(data: Uint8Array): Uint8Array | ElementFault {
  for (let element = 0; element < data.length; element++) {
    if (data[element] > 1) return { element, expected: '0 or 1', got: String(data[element]) };
  }
  return data;
}

/** The index of an element in row-major order: `[1, 0]` for element 3 of a `[2, 3]`. */
export function unravel(element: number, shape: readonly number[]): number[] {
  const index: number[] = [];
  let rest = element;
  for (let axis = shape.length - 1; axis > 0; axis--) {
    index.unshift(rest % shape[axis]);
    rest = Math.floor(rest / shape[axis]);
  }
  return [rest, ...index];
}

/** Most axes that a tensor has. */
export const MAX_RANK = 4;

/** What is wrong with a shape that a tensor says of itself, or undefined. Ranks run from 1 to MAX_RANK. */
export function faultOfShape(shape: readonly number[]): string | undefined {
  if (shape.length < 1 || shape.length > MAX_RANK) {
    return `Expected 1 to ${MAX_RANK} sizes; got ${shape.length}`;
  }
  const wrong = shape.find((size) => !Number.isSafeInteger(size) || size < 0);
  if (wrong !== undefined) return `Expected sizes that are integers, 0 or more; got ${wrong}`;
  if (elementCount(shape) === undefined) return 'Expected a product of the sizes below 2^53; got more';
  return undefined;
}
