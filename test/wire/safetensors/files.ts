/** A tensor of a file that a test puts together by hand. */
export interface Part {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** A file of this header and data, whatever the header says. `headerLength` in place of the true one. */
export function fileOf(
  header: string | Uint8Array | object,
  data: Uint8Array | number = 0,
  headerLength?: bigint,
): Uint8Array {
  const text = typeof header === 'string' || header instanceof Uint8Array ? header : JSON.stringify(header);
  const bytes = Buffer.from(text);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(headerLength ?? BigInt(bytes.length));
  return new Uint8Array(Buffer.concat([length, bytes, typeof data === 'number' ? Buffer.alloc(data) : data]));
}

/** A file of these tensors, one after the other, without padding: as plain a writer as can be. */
export function pack(
  parts: Readonly<Record<string, Part>>,
  metadata?: Readonly<Record<string, string>>,
): Uint8Array {
  const header: Record<string, object> = metadata === undefined ? {} : { __metadata__: metadata };
  let end = 0;
  for (const [name, { dtype, shape, bytes }] of Object.entries(parts)) {
    header[name] = { dtype, shape, data_offsets: [end, end + bytes.length] };
    end += bytes.length;
  }
  return fileOf(header, Buffer.concat(Object.values(parts).map(({ bytes }) => bytes)));
}

/** The bytes of a typed array. */
export function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/** The same bytes on shared memory, where bodies lie. */
export function shared(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length));
  copy.set(bytes);
  return copy;
}

/** A tensor of float32 numbers. */
export function f32(shape: readonly number[], numbers: readonly number[]): Part {
  return { dtype: 'F32', shape, bytes: bytesOf(Float32Array.from(numbers)) };
}
