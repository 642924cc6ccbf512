import { OPERATIONS } from '../../../src/contract/operations.ts';
import { DEFAULT_LIMITS, type Limits } from '../../../src/domain/limits.ts';
import type { Decoded } from '../../../src/wire/format.ts';
import { graft } from '../../../src/wire/graft.ts';
import { decodeJson } from '../../../src/wire/json/decode.ts';
import { decodeInference } from '../../../src/wire/kserve/decode.ts';

export function fieldsOf(operation: string) {
  return OPERATIONS.find(({ name }) => name === operation)!.fields;
}

export const SDPA_FIELDS = fieldsOf('scaled_dot_product_attention');

export interface Decoding {
  readonly headerBytes?: number | null | undefined;
  readonly operation?: string;
  readonly limits?: Partial<Limits>;
}

/** Decodes a request: JSON where it is an object or a text, or the bytes of a body. */
export function decode(body: object | string, decoding: Decoding = {}): Decoded {
  const { headerBytes, operation = 'scaled_dot_product_attention', limits = {} } = decoding;
  const bytes =
    body instanceof Uint8Array ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  return decodeInference(bytes, {
    fields: fieldsOf(operation),
    limits: { ...DEFAULT_LIMITS, ...limits },
    inference: { model: 'model', version: '1', headerBytes: headerBytes ?? undefined },
  });
}

/** What JSON gives for the same call. */
export function decodeAsJson(body: object, operation = 'scaled_dot_product_attention'): Decoded {
  const options = { fields: fieldsOf(operation), limits: DEFAULT_LIMITS };
  return decodeJson(Buffer.from(JSON.stringify(body)), options);
}

/** The body with its tensors put back, to compare what two formats give. */
export function comparable({ envelope, tensors }: Decoded): object {
  const plain = Object.entries(tensors).map(([path, { shape, data }]) => [
    path,
    { shape: [...shape], array: data.constructor.name, data: [...data] },
  ]);
  return graft(structuredClone(envelope), Object.fromEntries(plain));
}

/** A body with the JSON padded by spaces to a length, and bytes behind it. */
export function binaryBody(request: object, pad: number, ...parts: Uint8Array[]) {
  const json = JSON.stringify(request);
  const header = Buffer.from(json + ' '.repeat(pad));
  return { body: Buffer.concat([header, ...parts]), headerBytes: header.length };
}
