import type { AttentionCall } from './call.ts';
import type { RealArray } from './tensor.ts';

/**
 * What a call computes, in one line of the field's notation: `softmax(QKᵀ/√64 + bias)·V over keys j <= i`.
 * Everything that is applied is in it, and nothing that is not.
 */
export function formulaOf(call: AttentionCall): string {
  const { score, sizes } = call;
  const sink = score.sinks === null ? 'softmax' : 'softmax_with_sink';
  const over = conditions(call);
  const attention = `${sink}(${logitFormula(call)})·V${over.length === 0 ? '' : ` over keys ${over.join(', ')}`}`;
  const parts = [...projectionFormulas(call), ...rotationFormulas(call)];
  if (call.extras.length > 0)
    parts.push(`${call.extras.length} extra key${call.extras.length === 1 ? '' : 's'} seen by all`);
  if (call.operation === 'scaled_dot_product_attention' && sizes.heads === 1) {
    return [...parts, attention].join('; ');
  }
  const concat = `Concat(head_1 … head_${sizes.heads})`;
  const output = call.outputProjection === null ? concat : `${concat}·${timesOutput(call)}`;
  return [...parts, `head_h = ${attention}`, output].join('; ');
}

/** X are the embeddings, C the context, C_V that of the values where it is another one. */
function projectionFormulas(call: AttentionCall): string[] {
  const transposed = call.layout === 'out_in' ? 'ᵀ' : '';
  const names = new Map<RealArray, string>();
  return (['query', 'key', 'value'] as const).flatMap((role) => {
    const source = call[role];
    if (source.kind === 'given') return [];
    const { data } = source.tokens;
    const tokens = names.get(data) ?? { query: 'X', key: 'C', value: 'C_V' }[role];
    names.set(data, tokens);
    const letter = role[0].toUpperCase();
    const bias = source.linear.bias === null ? '' : ` + b_${letter}`;
    return [`${letter} = ${tokens}·W_${letter}${transposed}${bias}`];
  });
}

function rotationFormulas({ rope }: AttentionCall): string[] {
  return rope === null ? [] : [`Q, K rotated by position (RoPE, ${rope.pairing}, ${rope.dims} dims)`];
}

function timesOutput(call: AttentionCall): string {
  const transposed = call.layout === 'out_in' ? 'ᵀ' : '';
  return `W_O${transposed}${call.outputProjection!.bias === null ? '' : ' + b_O'}`;
}

function logitFormula({ score, sizes, visibility }: AttentionCall): string {
  let logit = scaleFormula(score.scale, sizes.headSize);
  if (score.softcap !== null) logit = `${score.softcap}·tanh(${logit}/${score.softcap})`;
  if (score.bias !== null) logit += ' + bias';
  if (score.alibiSlopes !== null) logit += ` - slope_h·|${position(visibility.offsets)} - j|`;
  return logit;
}

function scaleFormula(scale: number, headSize: number): string {
  if (scale === 1) return 'QKᵀ';
  return scale === 1 / Math.sqrt(headSize) ? `QKᵀ/√${headSize}` : `${scale}·QKᵀ`;
}

/** `i`, `i + 2`, or `i + offset_b` where it differs from sample to sample. */
function position(offsets: ArrayLike<number>): string {
  const first = offsets[0] ?? 0;
  if (Array.from(offsets).some((offset) => offset !== first)) return 'i + offset_b';
  if (first === 0) return 'i';
  return first > 0 ? `i + ${first}` : `i - ${-first}`;
}

function conditions({ visibility, sizes }: AttentionCall): string[] {
  const at = position(visibility.offsets);
  const list: string[] = [];
  if (visibility.causal) list.push(`j <= ${at}`);
  if (visibility.windowLeft !== null) list.push(`j >= ${at} - ${visibility.windowLeft}`);
  if (visibility.windowRight !== null) list.push(`j <= ${at} + ${visibility.windowRight}`);
  if (Array.from(visibility.keyLengths).some((length) => length !== sizes.keys))
    list.push('j < key_lengths_b');
  if (visibility.allow !== null) list.push('allowed by allow_mask');
  if (visibility.forbid !== null) list.push('not forbidden by forbid_mask');
  if (visibility.keyValid !== null) list.push('with key_valid');
  return list;
}
