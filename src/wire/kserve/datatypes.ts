import type { DType } from '../../domain/tensor.ts';
import {
  aligned,
  converted,
  type ElementFault,
  type Elements,
  readLittleEndian,
  SAFE_INTEGER,
} from '../dtypes.ts';
import { sharedFloat64 } from '../shared-memory.ts';

/** One datatype of the Open Inference Protocol, version 2. */
export interface Datatype {
  readonly name: string;
  /** Size of one element. */
  readonly bytes: number;
  /** The element type that holds every value of it. */
  readonly dtype: DType;
  /** What its integers may be; undefined for other numbers. */
  readonly range?: { readonly least: number; readonly greatest: number } | undefined;
  /** Whether the protocol knows it as JSON too. */
  readonly inJson: boolean;
  /** Reads elements, which may begin anywhere in their buffer; returns the first that cannot be used. */
  readonly read: (bytes: Uint8Array) => Elements | ElementFault;
}

type IntegerArray = Uint8Array | Int8Array | Uint16Array | Int16Array | Uint32Array;
type IntegerArrayConstructor = new (buffer: ArrayBufferLike, from: number, count: number) => IntegerArray;

const DATATYPES: readonly Datatype[] = [
  plain('FP32', 4, 'float32', true),
  plain('FP64', 8, 'float64', true),
  plain('FP16', 2, 'float16', false),
  plain('BF16', 2, 'bfloat16', false),
  plain('BOOL', 1, 'bool', true),
  integer('INT8', Int8Array, 'int32'),
  integer('INT16', Int16Array, 'int32'),
  { ...plain('INT32', 4, 'int32', true), range: { least: -(2 ** 31), greatest: 2 ** 31 - 1 } },
  {
    ...plain('INT64', 8, 'int64', true),
    range: { least: Number.MIN_SAFE_INTEGER, greatest: Number.MAX_SAFE_INTEGER },
  },
  integer('UINT8', Uint8Array, 'int32'),
  integer('UINT16', Uint16Array, 'int32'),
  integer('UINT32', Uint32Array, 'int64'),
  {
    ...plain('UINT64', 8, 'int64', true),
    range: { least: 0, greatest: Number.MAX_SAFE_INTEGER },
    read: readUint64,
  },
];

const BY_NAME: ReadonlyMap<string, Datatype> = new Map(DATATYPES.map((row) => [row.name, row]));

export const DATATYPE_NAMES: readonly string[] = DATATYPES.map(({ name }) => name);

export function datatypeNamed(name: string): Datatype | undefined {
  return BY_NAME.get(name);
}

function plain(name: string, bytes: number, dtype: DType, inJson: boolean): Datatype {
  return { name, bytes, dtype, inJson, read: (data) => readLittleEndian(dtype, data) };
}

/** Integers that float64 holds exactly, all of them. */
function integer(
  name: string,
  array: IntegerArrayConstructor & { readonly BYTES_PER_ELEMENT: number },
  dtype: 'int32' | 'int64',
): Datatype {
  const bytes = array.BYTES_PER_ELEMENT;
  const values = 2 ** (8 * bytes);
  const least = name.startsWith('U') ? 0 : -values / 2;
  const read = (data: Uint8Array) => {
    const { buffer, byteOffset, length } = aligned(data, bytes);
    const count = length / bytes;
    return converted(new array(buffer, byteOffset, count), sharedFloat64(count));
  };
  return { name, bytes, dtype, range: { least, greatest: least + values - 1 }, inJson: true, read };
}

function readUint64(bytes: Uint8Array): Elements | ElementFault {
  const { buffer, byteOffset, length } = aligned(bytes, 8);
  const words = new Uint32Array(buffer, byteOffset, length / 4);
  const data = sharedFloat64(length / 8);
  for (let element = 0; element < data.length; element++) {
    const [low, high] = [words[element * 2], words[element * 2 + 1]];
    data[element] = high * 2 ** 32 + low;
    if (!Number.isSafeInteger(data[element])) {
      return { element, expected: SAFE_INTEGER, got: String((BigInt(high) << 32n) + BigInt(low)) };
    }
  }
  return data;
}
