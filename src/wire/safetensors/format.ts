import type { WireFormat } from '../format.ts';
import { decodeSafetensors } from './decode.ts';
import { encodeSafetensors } from './encode.ts';

export const safetensors = {
  name: 'safetensors',
  mediaType: 'application/vnd.safetensors',
  decode: decodeSafetensors,
  encode: (answer) => ({ bytes: encodeSafetensors(answer) }),
} as const satisfies WireFormat;
