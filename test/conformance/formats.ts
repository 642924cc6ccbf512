import type { RawAnswer, RawRequest } from '../support/service.ts';
import type { Precision } from './adapter.ts';
import { kserve } from './kserve.ts';
import { safetensors } from './safetensors.ts';

/** Results of a response by name, tensors nested or as `CaseTensor`, and `applied`. */
// biome-ignore lint/suspicious/noExplicitAny: answers are read as users read them, untyped.
export type Results = Readonly<Record<string, any>>;

/** How a wire format carries a request that is given as its JSON body, and the results of the response. */
export interface Format {
  readonly name: string;
  readonly request: (path: string, body: object, precision: Precision) => RawRequest;
  readonly results: (answer: RawAnswer) => Results;
}

/** The two precisions take the two encodings, so that both are held to the same numbers. */
const ENCODING = { float32: 'nested', float64: 'base64' } as const;

export const json: Format = {
  name: 'json',
  request: (path, body, precision) => ({
    path,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ...body, response: { encoding: ENCODING[precision] } }),
  }),
  results: ({ body }) => JSON.parse(body.toString()),
};

/** Every format but JSON, which has the suite on every kernel; these have it on one of each precision. */
export const OTHER_FORMATS: readonly Format[] = [safetensors, kserve];
