import { AttentionClient, AttentionConnectionError } from '../../src/client/index.ts';
import type { AttentionProjections } from '../pretrained/sentence-encoder.ts';
import type { Weights } from '../pretrained/tfjs-weights.ts';

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
 * @throws ServiceUnreachable, or an AttentionError of the client
 */
export async function attend(
  baseUrl: string,
  embeddings: Weights,
  { heads, ...projections }: AttentionProjections,
  query: number,
): Promise<Attended> {
  const client = new AttentionClient(baseUrl, { retries: 0 });
  try {
    const { output, weights, applied } = await client.multiHeadAttention({
      embeddings,
      projections: { ...projections, packed_order: 'qkv' },
      heads,
      return: { weights: { queries: [query] } },
    });
    return {
      output,
      weights: { shape: [heads, embeddings.shape[0]], data: weights.data },
      kernel: applied.kernel,
    };
  } catch (error) {
    throw error instanceof AttentionConnectionError ? new ServiceUnreachable(baseUrl, error) : error;
  } finally {
    await client.close();
  }
}
