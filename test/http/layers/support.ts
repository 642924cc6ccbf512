import { type Part, pack } from '../../support/safetensors.ts';
import { type Reply, send } from '../support.ts';

export const SAFETENSORS = 'application/vnd.safetensors';

/** A layer of two heads and width 4, as JSON. */
export const TWO_HEADS = {
  heads: 2,
  projections: {
    w_q: [
      [1, 0, 0, 1],
      [0, 1, 1, 0],
      [1, 0, 1, 0],
      [0, 1, 0, 1],
    ],
    w_k: [
      [0, 1, 1, 0],
      [1, 0, 0, 1],
      [0, 1, 0, 1],
      [1, 0, 1, 0],
    ],
    w_v: [
      [1, 0, 0, 0],
      [0, 1, 0, 0],
      [0, 0, 1, 0],
      [0, 0, 0, 1],
    ],
    w_o: [
      [0, 1, 0, 0],
      [1, 0, 0, 0],
      [0, 0, 0, 2],
      [0, 0, 2, 0],
    ],
  },
};

export const TOKENS = [
  [1, 0, 1, 0],
  [0, 2, 0, 2],
  [1, 1, 1, 1],
];

/** Registers a JSON body, or a safetensors file. */
export function put(
  url: string,
  body: object | Uint8Array,
  headers: Record<string, string> = {},
): Promise<Reply> {
  const isFile = body instanceof Uint8Array;
  return send(url, {
    method: 'PUT',
    headers: { 'content-type': isFile ? SAFETENSORS : 'application/json', ...headers },
    body: isFile ? body : JSON.stringify(body),
  });
}

/** The file of some tensors, with names of other parts of a model around them. */
export function fileAmongOthers(parts: Readonly<Record<string, Part>>): Uint8Array {
  const other: Part = { dtype: 'F32', shape: [1], bytes: new Uint8Array(4) };
  return pack({ 'embeddings.weight': other, ...parts, 'lm_head.weight': other }, { format: 'pt' });
}
