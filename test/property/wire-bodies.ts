import type { DType, ElementKind, Tensor } from '../../src/domain/tensor.ts';
import { type Random, shuffled } from '../support/random.ts';
import { bytesOf, pack } from '../support/safetensors.ts';

/*
 * One body, as JSON, as a safetensors file and as an inference request. Every tensor has a dtype of its own, and so the
 * same numbers in all of them.
 */

/** A tensor as it goes over the wire: its bytes, and the numbers that they stand for, exactly. */
interface Sent {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
  readonly numbers: ArrayLike<number>;
}

export interface WireBody {
  readonly json: Uint8Array;
  readonly safetensors: Uint8Array;
  readonly kserve: Uint8Array;
  /** Bytes of the JSON of the inference request. */
  readonly headerBytes: number;
}

const DTYPES: Readonly<Record<ElementKind, readonly DType[]>> = {
  real: ['float32', 'float32', 'float64', 'float16', 'bfloat16', 'int32', 'int64'],
  index: ['int32', 'int64', 'float64', 'float32'],
  bool: ['bool'],
};

const DATATYPE: Readonly<Record<DType, string>> = {
  float64: 'FP64',
  float32: 'FP32',
  float16: 'FP16',
  bfloat16: 'BF16',
  bool: 'BOOL',
  int32: 'INT32',
  int64: 'INT64',
};

const STORED: Readonly<Record<DType, string>> = {
  float32: 'F32',
  float64: 'F64',
  float16: 'F16',
  bfloat16: 'BF16',
  bool: 'BOOL',
  int32: 'I32',
  int64: 'I64',
};

/** Largest tensor that a file may leave to the JSON in its metadata. */
const SMALL = 16;

/** A body out of the arbitraries, its tensors in random dtypes and forms; in the file some of them stay in the JSON. */
export function wireBody(
  body: object,
  kinds: Readonly<Record<string, ElementKind>>,
  random: Random,
): WireBody {
  const parts: Record<string, { dtype: string; shape: readonly number[]; bytes: Uint8Array }> = {};
  const inputs: string[] = [];
  const behind: Uint8Array[] = [];
  const write = (object: object, path: string): { inJson: string; inFile: string; options: string[] } => {
    const inJson: string[] = [];
    const inFile: string[] = [];
    /** The members that are no tensors. */
    const options: string[] = [];
    for (const [name, value] of Object.entries(object)) {
      const below = path === '' ? name : `${path}.${name}`;
      const key = JSON.stringify(name);
      if (isTensor(value)) {
        const sent = send(value, kinds[below], random);
        const text = tensorText(sent, kinds[below], random);
        inJson.push(`${key}:${text}`);
        const { input, bytes } = inferenceInput(below, sent, kinds[below], random);
        inputs.push(input);
        behind.push(bytes);
        if (sent.numbers.length <= SMALL && random.uniform() < 0.3) inFile.push(`${key}:${text}`);
        else parts[below] = { dtype: STORED[sent.dtype], shape: sent.shape, bytes: sent.bytes };
      } else if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
        const inner = write(value, below);
        inJson.push(`${key}:${inner.inJson}`);
        inFile.push(`${key}:${inner.inFile}`);
        const object = `{${inner.options}}`;
        options.push(`${key}:${path === '' ? JSON.stringify(object) : object}`);
      } else {
        inJson.push(`${key}:${JSON.stringify(value)}`);
        inFile.push(`${key}:${JSON.stringify(value)}`);
        options.push(`${key}:${JSON.stringify(value)}`);
      }
    }
    return { inJson: `{${inJson}}`, inFile: `{${inFile}}`, options };
  };
  const { inJson, inFile, options } = write(body, '');
  const header = Buffer.from(`{"parameters":{"binary_data_output":true,${options}},"inputs":[${inputs}]}`);
  return {
    json: Buffer.from(inJson),
    safetensors: pack(parts, { request: inFile }),
    kserve: Buffer.concat([header, ...behind]),
    headerBytes: header.length,
  };
}

/** A tensor as an input with bytes behind the JSON, or with numbers, flat or nested; members in any order. */
function inferenceInput(
  path: string,
  { dtype, shape, bytes, numbers }: Sent,
  kind: ElementKind,
  random: Random,
): { input: string; bytes: Uint8Array } {
  const isOnlyBinary = dtype === 'float16' || dtype === 'bfloat16';
  const form = isOnlyBinary ? 0 : random.below(3);
  const texts = Array.from(numbers, (number) =>
    kind === 'bool' ? String(number === 1) : numberText(number),
  );
  const data =
    form === 0
      ? `"parameters":{"binary_data_size":${bytes.length}}`
      : `"data":${form === 1 ? `[${texts}]` : nested(shape, numbers, kind, 0, 0)}`;
  const members = [`"name":"${path}"`, `"datatype":"${DATATYPE[dtype]}"`, `"shape":[${shape}]`, data];
  const order = shuffled(members.length, random);
  return {
    input: `{${order.map((member) => members[member])}}`,
    bytes: form === 0 ? bytes : new Uint8Array(0),
  };
}

function isTensor(value: unknown): value is Tensor {
  return typeof value === 'object' && value !== null && 'data' in value && ArrayBuffer.isView(value.data);
}

function send({ shape, data }: Tensor, kind: ElementKind, random: Random): Sent {
  const dtype = DTYPES[kind][random.below(DTYPES[kind].length)];
  const { bytes, numbers } = elementsOf(dtype, data);
  return { dtype, shape, bytes, numbers };
}

function elementsOf(dtype: DType, data: Tensor['data']): Pick<Sent, 'bytes' | 'numbers'> {
  const own = <Numbers extends ArrayBufferView & ArrayLike<number>>(numbers: Numbers) => ({
    bytes: bytesOf(numbers),
    numbers,
  });
  // An integer has one zero; Math.round makes two.
  const whole = Float64Array.from(data, (value) => Math.round(value) + 0);
  switch (dtype) {
    case 'float32':
      return own(Float32Array.from(data));
    case 'float64':
      return own(Float64Array.from(data));
    case 'float16':
      return own(Float16Array.from(data));
    case 'bool':
      return own(Uint8Array.from(data));
    case 'int32':
      return own(Int32Array.from(whole));
    case 'int64':
      return { bytes: bytesOf(BigInt64Array.from(whole, (value) => BigInt(value))), numbers: whole };
    case 'bfloat16': {
      const halves = Uint16Array.from(new Uint32Array(Float32Array.from(data).buffer), (bits) => bits >>> 16);
      const numbers = new Float32Array(Uint32Array.from(halves, (half) => half << 16).buffer);
      return { bytes: bytesOf(halves), numbers };
    }
  }
}

/** Nested where the dtype is the one that nested arrays have, else an object with flat numbers or base64. */
function tensorText({ dtype, shape, bytes, numbers }: Sent, kind: ElementKind, random: Random): string {
  const canNest = dtype === 'float32' || kind !== 'real';
  const form = random.below(canNest ? 3 : 2);
  if (form === 2) return nested(shape, numbers, kind, 0, 0);
  const data =
    form === 1
      ? JSON.stringify(Buffer.from(bytes).toString('base64'))
      : `[${Array.from(numbers, (number) => numberText(number))}]`;
  return `{"dtype":"${dtype}","shape":[${shape}],"data":${data}}`;
}

function nested(
  shape: readonly number[],
  numbers: ArrayLike<number>,
  kind: ElementKind,
  axis: number,
  from: number,
): string {
  if (axis === shape.length) return kind === 'bool' ? String(numbers[from] === 1) : numberText(numbers[from]);
  const step = shape.slice(axis + 1).reduce((product, size) => product * size, 1);
  const items = Array.from({ length: shape[axis] }, (_, index) =>
    nested(shape, numbers, kind, axis + 1, from + index * step),
  );
  return `[${items}]`;
}

/** JSON.stringify would write -0 as 0. */
function numberText(number: number): string {
  return Object.is(number, -0) ? '-0' : String(number);
}
