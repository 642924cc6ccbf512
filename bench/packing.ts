import type { AttentionCall, HeadSource } from '../src/domain/call.ts';
import type { Kernel, Plan } from '../src/kernels/kernel.ts';

/**
 * The end of the tiles of every stage when packed weights are kept: the tiles that pack weights are the last ones of
 * the stage `pack`, and as many as that stage has for a call without a token. null where nothing is packed.
 */
export function endsWithoutWeights(kernel: Kernel, call: AttentionCall, plan: Plan): number[] | null {
  const empty = kernel.plan(withoutTokens(call));
  const weightTiles = empty.stages.find(({ name }) => name === 'pack')?.tiles ?? 0;
  if (call.outputProjection === null || weightTiles === 0) return null;
  return plan.stages.map(({ name, tiles }) => (name === 'pack' ? tiles - weightTiles : tiles));
}

function withoutTokens(call: AttentionCall): AttentionCall {
  const empty = (source: HeadSource): HeadSource =>
    source.kind === 'projected' ? { ...source, tokens: { ...source.tokens, rows: 0 } } : source;
  return {
    ...call,
    sizes: { ...call.sizes, queries: 0, keys: 0 },
    query: empty(call.query),
    key: empty(call.key),
    value: empty(call.value),
  };
}
