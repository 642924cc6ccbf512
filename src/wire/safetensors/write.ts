import { elementCount } from '../../domain/tensor.ts';
import { METADATA } from './header.ts';
import type { StoredTensor } from './read.ts';
import { alignmentOf, storedBytes } from './stored-dtypes.ts';

/** The data begins at a multiple of this, as wide as the widest element. */
const ALIGNMENT = 8;

/**
 * Writes a safetensors file, which fills its ArrayBuffer. Tensors of wider elements come first, so that each begins at
 * a multiple of its element size in the file; else they keep their order. Throws where the bytes of a tensor are not
 * as many as its dtype and shape say.
 */
export function writeSafetensors(
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const inOrder = [...tensors].sort(([, a], [, b]) => alignmentOf(b.dtype) - alignmentOf(a.dtype));
  const { header, dataBytes } = headerOf(inOrder, metadata);
  const bytes = new Uint8Array(8 + header.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(header.length), true);
  bytes.set(header, 8);
  let at = 8 + header.length;
  for (const [, { bytes: elements }] of inOrder) {
    bytes.set(elements, at);
    at += elements.length;
  }
  return bytes;
}

function headerOf(
  tensors: readonly (readonly [string, StoredTensor])[],
  metadata: Readonly<Record<string, string>>,
): { header: Uint8Array; dataBytes: number } {
  const members: string[] = [];
  if (Object.keys(metadata).length > 0) members.push(member(METADATA, metadata));
  let end = 0;
  for (const [name, { dtype, shape, bytes }] of tensors) {
    const count = elementCount(shape);
    if (name === METADATA) throw new Error(`${METADATA} is not the name of a tensor`);
    if (count === undefined || storedBytes(dtype, count) !== bytes.length) {
      throw new Error(`${name}: ${dtype} [${shape}] cannot have ${bytes.length} bytes`);
    }
    const begin = end;
    end += bytes.length;
    members.push(member(name, { dtype, shape, data_offsets: [begin, end] }));
  }
  const json = Buffer.from(`{${members.join(',')}}`);
  const padded = Buffer.alloc(Math.ceil(json.length / ALIGNMENT) * ALIGNMENT, ' ');
  json.copy(padded);
  return { header: padded, dataBytes: end };
}

function member(name: string, value: object): string {
  return `${JSON.stringify(name)}:${JSON.stringify(value)}`;
}
