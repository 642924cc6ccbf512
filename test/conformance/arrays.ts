import type { CaseTensor } from './cases.ts';

/** Numbers of a tensor, whatever its element type; float64 holds all of them exactly. */
export interface Numbers {
  readonly shape: readonly number[];
  readonly values: Float64Array;
}

/** A tensor as requests take it. */
export interface BodyTensor {
  readonly dtype: CaseTensor['dtype'];
  readonly shape: readonly number[];
  readonly data: string | readonly (number | boolean)[];
}

const READERS: Record<CaseTensor['dtype'], { bytes: number; read: (view: DataView, at: number) => number }> =
  {
    float32: { bytes: 4, read: (view, at) => view.getFloat32(at, true) },
    float64: { bytes: 8, read: (view, at) => view.getFloat64(at, true) },
    float16: { bytes: 2, read: (view, at) => view.getFloat16(at, true) },
    bfloat16: { bytes: 2, read: (view, at) => bfloat16(view.getUint16(at, true)) },
    bool: { bytes: 1, read: (view, at) => view.getUint8(at) },
    int32: { bytes: 4, read: (view, at) => view.getInt32(at, true) },
    int64: { bytes: 8, read: (view, at) => Number(view.getBigInt64(at, true)) },
  };

function bfloat16(bits: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, bits << 16);
  return view.getFloat32(0);
}

export function numbers(tensor: CaseTensor): Numbers {
  const bytes = Buffer.from(tensor.data, 'base64');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { bytes: size, read } = READERS[tensor.dtype];
  const values = Float64Array.from({ length: bytes.length / size }, (_, index) => read(view, index * size));
  return { shape: tensor.shape, values };
}

/** The little-endian bytes of a tensor of a body, whose numbers are base64 or int32. */
export function tensorBytes({ dtype, data }: BodyTensor): Uint8Array {
  if (typeof data === 'string') return Buffer.from(data, 'base64');
  if (dtype !== 'int32') throw new Error(`Flat numbers are int32 here; got ${dtype}`);
  return new Uint8Array(Int32Array.from(data, Number).buffer);
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** A tensor made element by element from its coordinates. */
export function build(shape: readonly number[], at: (...index: number[]) => number): Numbers {
  const values = new Float64Array(sizeOf(shape));
  const index = new Array<number>(shape.length).fill(0);
  for (let flat = 0; flat < values.length; flat++) {
    values[flat] = at(...index);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis]++;
      if (index[axis] < shape[axis]) break;
      index[axis] = 0;
    }
  }
  return { shape, values };
}

/** Element at an index; axes of length 1 are broadcast. */
export function element({ shape, values }: Numbers, ...index: number[]): number {
  let flat = 0;
  for (let axis = 0; axis < shape.length; axis++)
    flat = flat * shape[axis] + (shape[axis] === 1 ? 0 : index[axis]);
  return values[flat];
}

/** Axes 0 and 1 exchanged: from sequence first to batch first and back. */
export function exchanged(tensor: Numbers): Numbers {
  const [first, second, ...rest] = tensor.shape;
  return build([second, first, ...rest], (i, j, ...others) => element(tensor, j, i, ...others));
}

/** Heads side by side: [B, heads, N, d] as [B, N, heads·d]. */
export function sideBySide(tensor: Numbers): Numbers {
  const [batch, heads, rows, size] = tensor.shape;
  return build([batch, rows, heads * size], (b, i, c) =>
    element(tensor, b, Math.floor(c / size), i, c % size),
  );
}

export function reals({ shape, values }: Numbers, dtype: 'float32' | 'float64' = 'float32'): BodyTensor {
  const data = dtype === 'float32' ? Float32Array.from(values) : values;
  return {
    dtype,
    shape,
    data: Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64'),
  };
}

export function bools({ shape, values }: Numbers): BodyTensor {
  return { dtype: 'bool', shape, data: Buffer.from(values).toString('base64') };
}

export function indices({ shape, values }: Numbers): BodyTensor {
  return { dtype: 'int32', shape, data: Array.from(values) };
}
