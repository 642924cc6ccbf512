import type { Answer, AnswerTensor } from '../domain/answer.ts';
import { elementCount } from '../domain/tensor.ts';
import { assertAllWritable } from './finite.ts';
import type { WireFormat } from './format.ts';
import { headedBytes } from './shared-memory.ts';

/** "\x93NUMPY", version 1.0, and two bytes for the length of the header. */
const PREFIX_BYTES = 10;
/** The elements begin at a multiple of this, so that a file can be mapped into memory. */
const ALIGNMENT = 64;

const DESCRIPTIONS: Readonly<Record<AnswerTensor['dtype'], string>> = {
  float32: '<f4',
  float64: '<f8',
  int32: '<i4',
};

/**
 * Encodes the output of an answer as a .npy file (numpy.lib.format, version 1.0): little-endian, row-major. The format
 * holds one array, so all else that the answer says is left out. Throws where the output holds NaN or Infinity.
 */
function encodeNpy({ tensors: { output } }: Answer): Uint8Array {
  const { dtype, shape, data } = output;
  if (elementCount(shape) !== data.length) {
    throw new Error(`A result of shape [${shape}] has ${data.length} elements`);
  }
  assertAllWritable(data);
  return headedBytes(headerOf(dtype, shape), [output]);
}

/** A literal of a Python dictionary. Results have rank 4 at most, so its length always fits into two bytes. */
function headerOf(dtype: AnswerTensor['dtype'], shape: readonly number[]): Uint8Array {
  const tuple = shape.map((size) => `${size},`).join(' ');
  const literal = `{'descr': '${DESCRIPTIONS[dtype]}', 'fortran_order': False, 'shape': (${tuple}), }`;
  const length = Math.ceil((PREFIX_BYTES + literal.length + 1) / ALIGNMENT) * ALIGNMENT;
  const header = Buffer.alloc(length, ' ');
  header.write('\x93NUMPY\x01\x00', 'latin1');
  header.writeUInt16LE(length - PREFIX_BYTES, PREFIX_BYTES - 2);
  header.write(literal, PREFIX_BYTES, 'latin1');
  header.write('\n', length - 1);
  return header;
}

export const npy = {
  name: 'npy',
  mediaType: 'application/x-npy',
  encode: (answer) => ({ bytes: encodeNpy(answer) }),
  writesRaw: () => true,
} as const satisfies WireFormat;
