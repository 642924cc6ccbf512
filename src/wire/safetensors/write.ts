import { elementCount } from '../../domain/tensor.ts';
import { copyBytes } from '../copy-bytes.ts';
import { METADATA } from './header.ts';
import type { StoredTensor } from './read.ts';
import { alignmentOf, storedBytes } from './stored-dtypes.ts';

/** The data begins at a multiple of this, as wide as the widest element. */
const ALIGNMENT = 8;

/** A tensor of a file, and its name. */
type Named<Tensor extends StoredTensor = StoredTensor> = readonly [string, Tensor];

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
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
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
  const inOrder = widestFirst([...tensors]);
  return [safetensorsHead(inOrder, metadata), ...inOrder.map(([, { bytes }]) => bytes)];
}

/** The tensors in the order in which a file has them. */
export function widestFirst<Tensor extends StoredTensor>(
  tensors: readonly Named<Tensor>[],
): readonly Named<Tensor>[] {
  return tensors.toSorted(([, a], [, b]) => alignmentOf(b.dtype) - alignmentOf(a.dtype));
}

/** What stands before the data of these tensors, in this order: the length of the header, and the header. */
export function safetensorsHead(
  tensors: readonly Named[],
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
