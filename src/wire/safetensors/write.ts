import { elementCount } from '../../domain/tensor.ts';
import { copyBytes } from '../copy-bytes.ts';
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
  const parts = safetensorsParts(tensors, metadata);
  return joinInto(new Uint8Array(joinedBytes(parts)), parts);
}

/** Bytes of parts that follow each other. */
export function joinedBytes(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}

/** Fills `bytes` with parts that follow each other. */
export function joinInto<Bytes extends Uint8Array>(bytes: Bytes, parts: readonly Uint8Array[]): Bytes {
  let at = 0;
  for (const part of parts) {
    copyBytes(part, bytes, at);
    at += part.length;
  }
  return bytes;
}

/** The same file in parts, one after the other: what stands before the data, then the bytes of each tensor as they are. */
export function safetensorsParts(
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] {
  const inOrder = [...tensors].sort(([, a], [, b]) => alignmentOf(b.dtype) - alignmentOf(a.dtype));
  return [headOf(inOrder, metadata), ...inOrder.map(([, { bytes }]) => bytes)];
}

/** The length of the header, and the header. */
function headOf(
  tensors: readonly (readonly [string, StoredTensor])[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
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
  const headerBytes = Math.ceil(json.length / ALIGNMENT) * ALIGNMENT;
  const head = Buffer.alloc(8 + headerBytes, ' ');
  head.writeBigUInt64LE(BigInt(headerBytes));
  json.copy(head, 8);
  return head;
}

function member(name: string, value: object): string {
  return `${JSON.stringify(name)}:${JSON.stringify(value)}`;
}
