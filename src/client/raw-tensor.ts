import { type DType, elementCount, formatShape } from '../domain/tensor.ts';
import { decodeBase64 } from '../wire/json/base64.ts';
import { STORED_AS, storedBytes } from '../wire/safetensors/stored-dtypes.ts';

/** A tensor as bytes. */
export interface RawTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** The row-major little-endian elements. */
  readonly bytes: Uint8Array;
}

/**
 * Fields of counts and positions, by their path. Numbers that do not say their dtype are float64 there, and float32 in
 * all others, whatever the precision of the call.
 */
export const INDEX_FIELDS: ReadonlySet<string> = new Set([
  'key_lengths',
  'rope.positions',
  'rope.key_positions',
]);

/** What a typed array holds where no dtype is said, by its name; all bytes of a Uint8Array are taken for booleans. */
const HELD: Readonly<Record<string, DType>> = {
  Float64Array: 'float64',
  Float32Array: 'float32',
  Float16Array: 'float16',
  Int32Array: 'int32',
  BigInt64Array: 'int64',
  Uint8Array: 'bool',
};

/** Typed arrays that hold the bytes of other types. */
const RAW: Readonly<Record<string, readonly DType[]>> = {
  Uint8Array: Object.keys(STORED_AS) as DType[],
  Uint16Array: ['float16', 'bfloat16'],
};

interface Shaped {
  readonly dtype?: DType;
  readonly shape: readonly number[];
  readonly data: unknown;
}

/**
 * The value of the field at a dotted path, where that is a tensor whose bytes mean what it means in JSON; undefined where
 * it is none, and where JSON has to say it.
 * @throws {TypeError} where a typed array does not have the elements that its shape and dtype say.
 */
export function rawTensor(value: object, path: string): RawTensor | undefined {
  const unsaid = INDEX_FIELDS.has(path) ? 'float64' : 'float32';
  if (Array.isArray(value)) {
    const shape = shapeOf(value);
    const elements = shape.length > 1 ? flatten(value, shape) : undefined;
    return elements === undefined ? undefined : ofElements(elements, shape, undefined, unsaid);
  }
  if (!isShaped(value)) return undefined;
  const { dtype, shape, data } = value;
  if (ArrayBuffer.isView(data)) return ofView(data, value, path);
  if (Array.isArray(data)) {
    return countOf(shape) === data.length ? ofElements(data, shape, dtype, unsaid) : undefined;
  }
  return typeof data === 'string' ? ofBase64(data, value) : undefined;
}

function ofView(data: ArrayBufferView, { dtype: said, shape }: Shaped, path: string): RawTensor {
  const array = Reflect.get(data, Symbol.toStringTag) as string;
  const dtype = said ?? HELD[array];
  if (dtype === undefined || (HELD[array] !== dtype && !RAW[array]?.includes(dtype))) {
    throw new TypeError(`${path}: expected an array of ${said ?? 'a dtype that is said'}; got ${array}`);
  }
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const expected = bytesOf(dtype, shape);
  if (expected === undefined) {
    throw new TypeError(
      `${path}.shape: expected sizes that are integers, 0 or more; got ${formatShape(shape)}`,
    );
  }
  if (bytes.length !== expected) {
    const got = `${bytes.length} bytes`;
    throw new TypeError(`${path}: expected ${expected} bytes for ${dtype} ${formatShape(shape)}; got ${got}`);
  }
  return { dtype, shape, bytes };
}

/** Undefined where the service would refuse the text, which it does in better words. */
function ofBase64(text: string, { dtype, shape }: Shaped): RawTensor | undefined {
  if (dtype === undefined || !Object.hasOwn(STORED_AS, dtype)) return undefined;
  const bytes = decodeBase64(text);
  return typeof bytes === 'string' || bytes.length !== bytesOf(dtype, shape)
    ? undefined
    : { dtype, shape, bytes };
}

/** Undefined where the elements are not all booleans, or all numbers that the type holds once they are rounded to it. */
function ofElements(
  elements: readonly unknown[],
  shape: readonly number[],
  said: DType | undefined,
  unsaid: DType,
): RawTensor | undefined {
  if (elements.length === 0) return undefined;
  if (elements.every((element) => typeof element === 'boolean')) {
    const isBool = said === undefined || said === 'bool';
    return isBool ? { dtype: 'bool', shape, bytes: Uint8Array.from(elements, Number) } : undefined;
  }
  if (!elements.every((element) => typeof element === 'number')) return undefined;
  const dtype = said ?? unsaid;
  if (dtype !== 'float32' && dtype !== 'float64') return undefined;
  const data = dtype === 'float32' ? Float32Array.from(elements) : Float64Array.from(elements);
  return data.every(Number.isFinite) ? { dtype, shape, bytes: new Uint8Array(data.buffer) } : undefined;
}

function bytesOf(dtype: DType, shape: readonly number[]): number | undefined {
  const count = countOf(shape);
  return count === undefined ? undefined : storedBytes(STORED_AS[dtype], count);
}

/** Undefined where the sizes are not all integers, 0 or more, of a product that a number can count exactly. */
function countOf(shape: readonly number[]): number | undefined {
  return shape.every((size) => Number.isSafeInteger(size) && size >= 0) ? elementCount(shape) : undefined;
}

function isShaped(value: object): value is Shaped {
  return 'data' in value && 'shape' in value && Array.isArray(value.shape);
}

/** The shape that nested arrays have if they are not ragged. */
function shapeOf(nested: readonly unknown[]): readonly number[] {
  const shape: number[] = [];
  for (let inner: unknown = nested; Array.isArray(inner); inner = inner[0]) shape.push(inner.length);
  return shape;
}

/** The elements of nested arrays in row-major order; undefined where they do not have the shape. */
function flatten(nested: readonly unknown[], shape: readonly number[]): readonly unknown[] | undefined {
  const elements: unknown[] = [];
  const visit = (value: unknown, depth: number): boolean => {
    if (!Array.isArray(value)) return depth === shape.length && elements.push(value) > 0;
    return value.length === shape[depth] && value.every((inner) => visit(inner, depth + 1));
  };
  return visit(nested, 0) ? elements : undefined;
}
