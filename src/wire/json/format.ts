import type { WireFormat } from '../format.ts';
import { decodeJson } from './decode.ts';
import { encodeJson } from './encode.ts';

export const json = {
  name: 'json',
  mediaType: 'application/json',
  decode: decodeJson,
  encode: (answer, options) => ({ bytes: encodeJson(answer, options) }),
} as const satisfies WireFormat;
