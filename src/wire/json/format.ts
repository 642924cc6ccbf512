import type { WireFormat } from '../format.ts';
import { decodeJson } from './decode.ts';
import { encodeJson } from './encode.ts';

export const json = {
  name: 'json',
  mediaType: 'application/json',
  decode: decodeJson,
  encode: encodeJson,
} as const satisfies WireFormat;
