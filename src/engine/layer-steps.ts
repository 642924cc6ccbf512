import type { LayerBody } from '../contract/schemas/layers.ts';
import type { Limits } from '../domain/limits.ts';
import { weigh } from './counterweight.ts';
import type { OpenLayerItem } from './item.ts';
import type { LayerFile, LayerRequest } from './layer-work.ts';
import type { Steps } from './steps.ts';
import { decodeWork } from './work.ts';

/** Makes the file of a layer out of a body, in a worker. Throws the Problems of reading a layer. */
export async function makeLayerStep(steps: Steps, request: LayerRequest, limits: Limits): Promise<LayerFile> {
  // What is decoded, and the file that is made of it.
  steps.reserve(2 * request.bytes.byteLength);
  const item = () => ({ kind: 'make_layer', request, limits }) as const;
  const work = decodeWork(request.format, request.bytes);
  const { result } = steps.timed('decodeMs', await steps.task(work, item));
  if (result.kind !== 'layer_made') throw new TypeError('Not the file of a layer.');
  weigh([request.bytes, result.file.parts]);
  return result.file;
}

/** Checks the file of a layer and reads it, in a worker; null where its hash is another one. */
export async function openLayerStep(
  steps: Steps,
  { bytes, etag }: Pick<OpenLayerItem, 'bytes' | 'etag'>,
  limits: Limits,
): Promise<LayerBody | null> {
  const item = () => ({ kind: 'open_layer', bytes, etag, limits }) as const;
  const { result } = steps.timed('decodeMs', await steps.task(decodeWork('safetensors', bytes), item));
  if (result.kind !== 'layer_opened') throw new TypeError('Not an opened layer.');
  weigh([bytes, result.layer]);
  return result.layer;
}
