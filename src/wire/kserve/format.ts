import type { WireFormat } from '../format.ts';
import { decodeInference } from './decode.ts';
import { encodeInference } from './encode.ts';
import { binaryHead } from './scan.ts';

/** The Open Inference Protocol, version 2, as KServe and Triton speak it. Its addresses choose it. */
export const kserve = {
  name: 'kserve',
  mediaType: null,
  decode: decodeInference,
  headOf: (bytes, inference) => binaryHead(bytes, inference?.headerBytes),
  readsRaw: (inference) => inference?.headerBytes !== undefined,
  encode: encodeInference,
  writesRaw: ({ inference }) =>
    inference?.outputs?.every(({ binary }) => binary) ?? inference?.binary === true,
} as const satisfies WireFormat;
