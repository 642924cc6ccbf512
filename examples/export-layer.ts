/**
 * Layer 0 of a pretrained sentence encoder as a safetensors file: `npm run example:layer [-- <file>]`.
 *
 * The tensors have the names of this service (w_qkv, b_qkv, w_o, b_o), in float32, so that the file can be registered as
 * it is: `curl -T use-lite.safetensors …/v1/layers/use-lite?heads=4`.
 */
import { writeFile } from 'node:fs/promises';
import { writeSafetensors } from '../src/wire/safetensors/write.ts';
import { MissingPackage } from './pretrained/optional-package.ts';
import { loadFirstLayer } from './pretrained/sentence-encoder.ts';
import type { Weights } from './pretrained/tfjs-weights.ts';

const path = process.argv[2] ?? 'use-lite.safetensors';

try {
  const { heads, ...projections } = (await loadFirstLayer()).attention;
  const tensors = Object.entries(projections).map(([name, weights]) => [name, stored(weights)] as const);
  await writeFile(path, writeSafetensors(new Map(tensors)));
  console.log(`${path}: layer 0 of Universal Sentence Encoder Lite, ${heads} heads`);
} catch (error) {
  if (!(error instanceof MissingPackage)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}

function stored({ shape, data }: Weights) {
  return {
    dtype: 'F32',
    shape,
    bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  } as const;
}
