/*
 * safetensors files as a test needs them, by code of its own: as plain a writer and reader as can be.
 */

/** A tensor of a file. */
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

/** A file of these tensors, one after the other, without padding. */
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

/** The tensors and the metadata of a file that is known to be one. */
export function unpack(file: Uint8Array): { parts: Record<string, Part>; metadata: Record<string, string> } {
  const bytes = Buffer.from(file);
  const data = 8 + Number(bytes.readBigUInt64LE());
  const { __metadata__: metadata = {}, ...entries } = JSON.parse(bytes.toString('utf8', 8, data));
  const parts = Object.entries<{ dtype: string; shape: number[]; data_offsets: [number, number] }>(
    entries,
  ).map(
    ([
      name,
      {
        dtype,
        shape,
        data_offsets: [from, to],
      },
    ]) => [name, { dtype, shape, bytes: Uint8Array.from(bytes.subarray(data + from, data + to)) }] as const,
  );
  return { parts: Object.fromEntries(parts), metadata };
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
