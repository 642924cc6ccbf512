/** Tensors begin at multiples of this, as wide as the widest element. */
const ALIGNMENT = 8;

/** What is left of a block that was lent to this thread for the tensors that it decodes. */
let lent: { readonly block: SharedArrayBuffer; used: number } | null = null;

/**
 * Has `decode` put its tensors into a block, one behind the other, as long as they fit: fresh shared memory costs the
 * zeroing of its pages and, once done with, a collection. Beyond the block they get memory of their own.
 */
export function decodeInto<Result>(block: SharedArrayBuffer, decode: () => Result): Result {
  lent = { block, used: 0 };
  try {
    return decode();
  } finally {
    lent = null;
  }
}

/** Shared memory for `count` float32 elements, which may hold anything. */
export function sharedFloat32(count: number): Float32Array {
  const { buffer, byteOffset } = take(count * 4);
  return new Float32Array(buffer, byteOffset, count);
}

/** Shared memory for `count` float64 elements, which may hold anything. */
export function sharedFloat64(count: number): Float64Array {
  const { buffer, byteOffset } = take(count * 8);
  return new Float64Array(buffer, byteOffset, count);
}

/** Shared memory of `count` bytes, which may hold anything. */
export function sharedBytes(count: number): Uint8Array {
  const { buffer, byteOffset } = take(count);
  return new Uint8Array(buffer, byteOffset, count);
}

function take(bytes: number): { readonly buffer: SharedArrayBuffer; readonly byteOffset: number } {
  if (lent === null || lent.used + bytes > lent.block.byteLength) {
    return { buffer: new SharedArrayBuffer(bytes), byteOffset: 0 };
  }
  const byteOffset = lent.used;
  lent.used += Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
  return { buffer: lent.block, byteOffset };
}
