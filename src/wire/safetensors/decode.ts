import { unknownName } from '../../contract/validation/faults.ts';
import { suggest } from '../../contract/validation/suggest.ts';
import { Problem, pointerToken, problemAt } from '../../domain/problem.ts';
import { quoted } from '../../domain/quoted.ts';
import type { Tensor } from '../../domain/tensor.ts';
import type { Decoded, DecodeOptions } from '../format.ts';
import { heldPrecision } from '../held-precision.ts';
import { json } from '../json/format.ts';
import { callTensor } from './call-tensor.ts';
import { METADATA } from './header.ts';
import { MAX_HEADER_BYTES, readSafetensors } from './read.ts';

/** Where the rest of the body stands in the metadata. */
export const REQUEST = 'request';

/**
 * Decodes a safetensors body: tensors are named by their dotted path, `projections.w_q`, and `__metadata__.request` is
 * the rest of the body, as the JSON format reads it; a tensor may stand there too, but not in both places. Other
 * metadata is the caller's own. The header, all of it, is what the limits call the envelope.
 * @throws {Problem} malformed_body; invalid_request for a tensor that the operation does not have, or has twice;
 * invalid_tensor.
 */
export function decodeSafetensors(bytes: Uint8Array, options: DecodeOptions): Decoded {
  const maxHeaderBytes = Math.min(MAX_HEADER_BYTES, options.limits.envelopeBytes);
  const { header, metadata, tensors: stored } = readSafetensors(bytes, maxHeaderBytes);
  const { envelope, tensors: given } = decodeRequest(metadata, options);
  const precision = heldPrecision(envelope, options);
  const tensors: Record<string, Tensor> = { ...given };
  for (const [name, tensor] of stored) {
    const pointer = pointerOf(name);
    if (!Object.hasOwn(options.fields, name)) {
      throw problemAt('invalid_request', pointer, unknownName('tensor', name, Object.keys(options.fields)));
    }
    if (Object.hasOwn(given, name)) {
      const detail = `Expected one value for this field; got a tensor and, in ${METADATA}.${REQUEST}, another`;
      throw problemAt('invalid_request', pointer, detail);
    }
    const field = { kind: options.fields[name], precision, pointer };
    tensors[name] = callTensor(tensor, field);
  }
  return { envelope, tensors, form: header };
}

function decodeRequest(metadata: ReadonlyMap<string, string>, options: DecodeOptions): Decoded {
  const request = metadata.get(REQUEST);
  if (request === undefined) {
    const [near] = [...metadata.keys()].filter((name) => suggest(name, [REQUEST]).length > 0);
    if (near === undefined) return { envelope: {}, tensors: {} };
    const detail = `Expected the rest of the body as ${METADATA}.${REQUEST}; got ${quoted(near)}`;
    throw problemAt('invalid_request', `/${METADATA}/${pointerToken(near)}`, detail);
  }
  try {
    return json.decode(Buffer.from(request), options);
  } catch (error) {
    // Its places in bytes are places in that text, not in the body.
    if (!(error instanceof Problem && error.code === 'malformed_body')) throw error;
    throw new Problem(error.code, `${METADATA}.${REQUEST}: ${error.message}`, error.errors);
  }
}

function pointerOf(name: string): string {
  return name
    .split('.')
    .map((part) => `/${pointerToken(part)}`)
    .join('');
}
