import { type DType, elementCount, formatShape } from '../domain/tensor.ts';
import type { StoredTensor } from '../wire/safetensors/read.ts';
import { STORED_AS, type StoredDType, storedBytes } from '../wire/safetensors/stored-dtypes.ts';
import { writeSafetensors } from '../wire/safetensors/write.ts';

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

/** Up to here float32 holds every count. */
const LARGEST_COUNT = 2 ** 24;
const LARGEST_FLOAT32 = (2 - 2 ** -23) * 2 ** 127;

interface Shaped {
  readonly dtype?: DType;
  readonly shape: readonly number[];
  readonly data: unknown;
}

/**
 * Writes a body as a safetensors file: its tensors by their dotted path, the rest of it as JSON. What stays in the
 * JSON means the same there: short lists, and numbers that the service is to refuse in its own words.
 * @throws {TypeError} where a tensor does not have the elements that its shape and dtype say.
 */
export function packBody(body: object): Uint8Array<ArrayBuffer> {
  const tensors = new Map<string, StoredTensor>();
  const visit = (value: unknown, path: string): unknown => {
    if (typeof value !== 'object' || value === null) return value;
    const tensor = packTensor(value, path);
    if (tensor !== undefined) {
      tensors.set(path, tensor);
      return undefined;
    }
    if (Array.isArray(value) || 'shape' in value) return value;
    const members = Object.entries(value).map(([name, member]) => [
      name,
      visit(member, path === '' ? name : `${path}.${name}`),
    ]);
    return Object.fromEntries(members);
  };
  const request = JSON.stringify(visit(body, ''));
  return writeSafetensors(tensors, { request });
}

function packTensor(value: object, path: string): StoredTensor | undefined {
  if (Array.isArray(value)) {
    const shape = shapeOf(value);
    const elements = shape.length > 1 ? flatten(value, shape) : undefined;
    return elements === undefined ? undefined : packElements(elements, shape, undefined);
  }
  if (!isShaped(value)) return undefined;
  const { dtype, shape, data } = value;
  if (ArrayBuffer.isView(data)) return packView(data, value, path);
  if (Array.isArray(data)) {
    return elementCount(shape) === data.length ? packElements(data, shape, dtype) : undefined;
  }
  if (typeof data !== 'string') return undefined;
  return packView(Buffer.from(data, 'base64'), { ...value, dtype: dtype ?? 'float32' }, path);
}

function packView(data: ArrayBufferView, { dtype: said, shape }: Shaped, path: string): StoredTensor {
  const array = Reflect.get(data, Symbol.toStringTag) as string;
  const dtype = said ?? HELD[array];
  if (dtype === undefined || (HELD[array] !== dtype && !RAW[array]?.includes(dtype))) {
    throw new TypeError(`${path}: expected an array of ${said ?? 'a dtype that is said'}; got ${array}`);
  }
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const count = elementCount(shape);
  const expected = count === undefined ? undefined : storedBytes(STORED_AS[dtype], count);
  if (bytes.length !== expected) {
    const got = `${bytes.length} bytes`;
    throw new TypeError(`${path}: expected ${expected} bytes for ${dtype} ${formatShape(shape)}; got ${got}`);
  }
  return { dtype: STORED_AS[dtype], shape, bytes };
}

/** Undefined where the elements are not all booleans, or all numbers that keep their meaning in float32. */
function packElements(
  elements: readonly unknown[],
  shape: readonly number[],
  said: DType | undefined,
): StoredTensor | undefined {
  if (elements.length === 0) return undefined;
  if (elements.every((element) => typeof element === 'boolean')) {
    return said === undefined || said === 'bool'
      ? stored('BOOL', shape, Uint8Array.from(elements, Number))
      : undefined;
  }
  if (!elements.every((element) => typeof element === 'number')) return undefined;
  if (said === 'float64') return stored('F64', shape, Float64Array.from(elements));
  if (said !== 'float32' && said !== undefined) return undefined;
  const largest = said === undefined ? LARGEST_COUNT : LARGEST_FLOAT32;
  if (!elements.every((element) => Math.abs(element) <= largest)) return undefined;
  return stored('F32', shape, Float32Array.from(elements));
}

function stored(
  dtype: StoredDType,
  shape: readonly number[],
  { buffer }: { buffer: ArrayBuffer },
): StoredTensor {
  return { dtype, shape, bytes: new Uint8Array(buffer) };
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
