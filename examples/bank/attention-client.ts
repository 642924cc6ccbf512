import type { AttentionProjections } from '../pretrained/sentence-encoder.ts';
import type { Weights } from '../pretrained/tfjs-weights.ts';

/** A tensor as the service takes and gives it with `"encoding": "base64"`. */
interface EncodedTensor {
  readonly dtype: 'float32';
  readonly shape: readonly number[];
  /** Little-endian bytes, row-major. */
  readonly data: string;
}

interface MultiHeadAttentionResponse {
  readonly output: EncodedTensor;
  readonly weights: EncodedTensor;
  readonly applied: { readonly kernel: string };
}

/** What the layer gives for one sequence of L tokens. */
export interface Attended {
  /** [L, D_out] */
  readonly output: Weights;
  /** Attention of the one query that was asked for, [H, L]. */
  readonly weights: Weights;
  /** Which kernel of the service did the arithmetic. */
  readonly kernel: string;
}

/** Nothing answers at the address of the service. */
export class ServiceUnreachable extends Error {
  constructor(baseUrl: string, cause: unknown) {
    super(
      `Nothing answers at ${baseUrl}. Start the service in another terminal:\n\n  npm start\n\n` +
        'or name another address, as an argument or in ATTENTION_API_URL.',
      { cause },
    );
    this.name = 'ServiceUnreachable';
  }
}

/**
 * Self-attention of one layer, computed by `POST /v1/multi-head-attention`.
 *
 * @param embeddings [L, D]
 * @param query index of the token whose attention row is wanted
 * @throws ServiceUnreachable, or an Error with the problem that the service answered
 */
export async function attend(
  baseUrl: string,
  embeddings: Weights,
  { heads, w_qkv, b_qkv, w_o, b_o }: AttentionProjections,
  query: number,
): Promise<Attended> {
  const answer = await post<MultiHeadAttentionResponse>(baseUrl, '/v1/multi-head-attention', {
    embeddings: encode(embeddings),
    projections: {
      w_qkv: encode(w_qkv),
      b_qkv: encode(b_qkv),
      packed_order: 'qkv',
      w_o: encode(w_o),
      b_o: encode(b_o),
    },
    heads,
    return: { weights: { queries: [query] } },
    response: { encoding: 'base64' },
  });
  const weights = decode(answer.weights);
  return {
    output: decode(answer.output),
    weights: { shape: [heads, embeddings.shape[0]], data: weights.data },
    kernel: answer.applied.kernel,
  };
}

async function post<Answer>(baseUrl: string, path: string, body: object): Promise<Answer> {
  const response = await fetch(new URL(path, baseUrl), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  }).catch((cause: unknown) => {
    throw new ServiceUnreachable(baseUrl, cause);
  });
  if (!response.ok) throw new Error(`${path} answered ${response.status}: ${await response.text()}`);
  return (await response.json()) as Answer;
}

function encode({ shape, data }: Weights): EncodedTensor {
  const bytes = Buffer.allocUnsafe(4 * data.length);
  data.forEach((value, i) => {
    bytes.writeFloatLE(value, 4 * i);
  });
  return { dtype: 'float32', shape, data: bytes.toString('base64') };
}

function decode({ shape, data }: EncodedTensor): Weights {
  const bytes = Buffer.from(data, 'base64');
  return { shape, data: Float32Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readFloatLE(4 * i)) };
}
