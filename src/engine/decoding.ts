import type { Decoded } from '../wire/format.ts';
import { decoderNamed } from '../wire/registry.ts';
import { weigh } from './counterweight.ts';
import type { DecodeItem } from './item.ts';
import { tensorBytes } from './request.ts';
import { isReadHere } from './sizes.ts';
import type { Steps } from './steps.ts';
import { decodeWork } from './work.ts';

/** Reads a body, on shared memory where it is not small; on this thread where a worker would take longer to reach. */
export async function decodeStep(steps: Steps, body: Omit<DecodeItem, 'kind'>): Promise<Decoded> {
  const { format, bytes, fields, limits } = body;
  const decoded = isReadHere(body)
    ? steps.inline('decodeMs', () => decoderNamed(format)(bytes, { fields, limits }))
    : await decodeAtWorker(steps, body);
  weigh([bytes, decoded.tensors]);
  steps.reserve(tensorBytes(decoded.tensors, bytes.buffer));
  return decoded;
}

async function decodeAtWorker(steps: Steps, body: Omit<DecodeItem, 'kind'>): Promise<Decoded> {
  const item = () => ({ kind: 'decode', ...body }) as const;
  const report = await steps.task(decodeWork(body.format, body.bytes), item);
  const { result } = steps.timed('decodeMs', report);
  if (result.kind !== 'decoded') throw new TypeError('Not a decoded body.');
  return result.decoded;
}
