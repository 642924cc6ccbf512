import type { WireFormat } from '../format.ts';
import { decodeSafetensors } from './decode.ts';
import { encodeSafetensors } from './encode.ts';
import { headOf } from './read.ts';

export const safetensors = {
  name: 'safetensors',
  mediaType: 'application/vnd.safetensors',
  decode: decodeSafetensors,
  headOf,
  readsRaw: () => true,
  encode: (answer) => ({ bytes: encodeSafetensors(answer) }),
  writesRaw: () => true,
} as const satisfies WireFormat;
