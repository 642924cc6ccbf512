import type { AttentionCall, LogitStage } from '../../../src/domain/call.ts';
import { type Bounded, bounded, operandBounds, sumError, UNDERFLOW, UNIT_ROUNDOFF } from './bounded.ts';
import { applyLinear, heads, weightBounds } from './heads.ts';

/** Everything that an attention call may return, whole, with error bounds for the precision of the call. */
export interface OracleResult {
  /** [B, L, H·d_v], or [B, L, D_out] after W_O. */
  readonly output: Bounded;
  /** [B, H, L, S + E] each. */
  readonly logits: Readonly<Record<LogitStage, Bounded>>;
  readonly weights: Bounded;
  /** [B, H, L] */
  readonly log_sum_exp: Bounded;
  /** [B, G, S, d] */
  readonly key: Bounded;
  readonly value: Bounded;
  readonly emptyRows: number;
}

/**
 * Attention as the formulas say it, one query at a time, whole rows, float64, after nothing but the contract:
 * scale·q·k, softcap, bias and ALiBi, masks, sink in the denominator, softmax, ·V, concatenation, W_O.
 * Shares no code with the kernels.
 */
export function oracle(call: AttentionCall): OracleResult {
  const { sizes, score } = call;
  const u = UNIT_ROUNDOFF[call.precision];
  const tiny = UNDERFLOW[call.precision];
  const { query, key, value } = heads(call, u);
  const asOperand = (rows: Bounded): Bounded => ({
    ...rows,
    bound: operandBounds(rows.value, rows.bound, call.precision),
  });
  const [queryOperand, keyOperand, valueOperand] = [query, key, value].map(asOperand);
  const columns = sizes.keys + sizes.extras;
  const map = () => bounded(sizes.batch, sizes.heads, sizes.queries, columns);
  const logits = { raw: map(), scaled: map(), capped: map(), masked: map() };
  const weights = map();
  const logSumExp = bounded(sizes.batch, sizes.heads, sizes.queries);
  const concat = bounded(sizes.batch, sizes.queries, sizes.heads * sizes.valueHeadSize);
  let emptyRows = 0;

  for (let b = 0; b < sizes.batch; b++)
    for (let h = 0; h < sizes.heads; h++)
      for (let i = 0; i < sizes.queries; i++) {
        const row = (b * sizes.heads + h) * sizes.queries + i;
        const kvHead = b * sizes.kvHeads + Math.floor(h / (sizes.heads / sizes.kvHeads));
        const start = row * columns;
        const seen: number[] = [];
        for (let j = 0; j < columns; j++) {
          writeLogits(call, logits, start + j, queryOperand, row, keyOperand, kvHead * columns + j, u);
          if (!maySee(call, b, h, i, j)) {
            logits.masked.value[start + j] = Number.NEGATIVE_INFINITY;
            continue;
          }
          seen.push(j);
          const added = addition(call, b, h, i, j);
          const logit = logits.capped.value[start + j] + added.value;
          logits.masked.value[start + j] = logit;
          logits.masked.bound[start + j] =
            logits.capped.bound[start + j] +
            u * (2 * added.magnitude + Math.abs(logits.capped.value[start + j]));
        }
        if (seen.length === 0) {
          emptyRows++;
          logSumExp.value[row] = Number.NEGATIVE_INFINITY;
          continue;
        }
        softmax(
          logits.masked,
          weights,
          logSumExp,
          row,
          seen,
          score.sinks === null ? null : score.sinks[h],
          u,
          tiny,
        );
        const rowWeights = weights.value.subarray(start, start + columns);
        const weightBound = operandBounds(
          rowWeights,
          weights.bound.subarray(start, start + columns),
          call.precision,
        );
        const rounding = sumError(seen.length + 2) * u;
        for (let c = 0; c < sizes.valueHeadSize; c++) {
          let sum = 0;
          let bound = 0;
          for (const j of seen) {
            const at = (kvHead * columns + j) * sizes.valueHeadSize + c;
            const [weight, dw] = [rowWeights[j], weightBound[j]];
            const [v, dv] = [valueOperand.value[at], valueOperand.bound[at]];
            sum += weight * v;
            bound += dw * (Math.abs(v) + dv) + weight * (dv + rounding * Math.abs(v)) + tiny;
          }
          const at =
            (b * sizes.queries + i) * sizes.heads * sizes.valueHeadSize + h * sizes.valueHeadSize + c;
          concat.value[at] = sum;
          concat.bound[at] = bound;
        }
      }

  return {
    output: projectOutput(call, concat),
    logits,
    weights,
    log_sum_exp: logSumExp,
    key,
    value,
    emptyRows,
  };
}

/** Whether query i may see key j: the conditions of the contract, one after the other. */
function maySee({ sizes, visibility }: AttentionCall, b: number, h: number, i: number, j: number): boolean {
  if (j >= sizes.keys) return true;
  const { causal, offsets, windowLeft, windowRight, keyLengths, allow, forbid, keyValid } = visibility;
  const position = i + offsets[b];
  if (causal && j > position) return false;
  if (windowLeft !== null && position - j > windowLeft) return false;
  if (windowRight !== null && j - position > windowRight) return false;
  if (j >= keyLengths[b]) return false;
  if (keyValid !== null && keyValid[b * sizes.keys + j] === 0) return false;
  if (
    allow !== null &&
    allow.data[b * allow.batchStride + h * allow.headStride + i * allow.queryStride + j] === 0
  )
    return false;
  return (
    forbid === null ||
    forbid.data[b * forbid.batchStride + h * forbid.headStride + i * forbid.queryStride + j] === 0
  );
}

/** Bias and ALiBi of one key, and the sum of their magnitudes. */
function addition({ sizes, score, visibility }: AttentionCall, b: number, h: number, i: number, j: number) {
  if (j >= sizes.keys) return { value: 0, magnitude: 0 };
  const { bias, alibiSlopes } = score;
  const given =
    bias === null ? 0 : bias.data[b * bias.batchStride + h * bias.headStride + i * bias.queryStride + j];
  const distance = Math.abs(i + visibility.offsets[b] - j);
  const alibi = alibiSlopes === null ? 0 : -alibiSlopes[h] * distance;
  return { value: given + alibi, magnitude: Math.abs(given) + Math.abs(alibi) };
}

/** q·k, scale·q·k and softcap(scale·q·k) of one query row and one key row, with their bounds as operands. */
function writeLogits(
  call: AttentionCall,
  logits: OracleResult['logits'],
  at: number,
  query: Bounded,
  queryRow: number,
  key: Bounded,
  keyRow: number,
  u: number,
): void {
  const { headSize } = call.sizes;
  const { scale, softcap } = call.score;
  const [queryAt, keyAt] = [queryRow * headSize, keyRow * headSize];
  let dot = 0;
  let magnitude = 0;
  let inherited = 0;
  for (let c = 0; c < headSize; c++) {
    const [q, dq] = [query.value[queryAt + c], query.bound[queryAt + c]];
    const [k, dk] = [key.value[keyAt + c], key.bound[keyAt + c]];
    dot += q * k;
    magnitude += Math.abs(q * k);
    inherited += Math.abs(q) * dk + Math.abs(k) * dq + dq * dk;
  }
  logits.raw.value[at] = dot;
  logits.raw.bound[at] = inherited + sumError(headSize + 2) * u * magnitude;
  // The scale may be folded into q, so its rounding counts on each product, not only on the sum.
  logits.scaled.value[at] = scale * dot;
  logits.scaled.bound[at] = Math.abs(scale) * (logits.raw.bound[at] + 3 * u * magnitude);
  // |tanh'| <= 1; dividing by the cap, tanh and multiplying by the cap round a few times more.
  const capped = softcap === null ? scale * dot : softcap * Math.tanh((scale * dot) / softcap);
  logits.capped.value[at] = capped;
  logits.capped.bound[at] = logits.scaled.bound[at] + (softcap === null ? 0 : 6 * u * Math.abs(capped));
}

/**
 * softmax of one row over the keys seen. A logit error Δ_j moves the weight by w_j·(e^(Δ_j - mean of Δ) - 1) at most;
 * exp itself, whose argument l_j - max is rounded, adds a few u and |l_j - max|·u, as do the rescalings of an
 * online softmax; the denominator adds the error of a sum.
 */
function softmax(
  masked: Bounded,
  weights: Bounded,
  logSumExp: Bounded,
  row: number,
  seen: readonly number[],
  sink: number | null,
  u: number,
  tiny: number,
): void {
  const start = (row * masked.value.length) / logSumExp.value.length;
  let max = sink ?? Number.NEGATIVE_INFINITY;
  for (const j of seen) max = Math.max(max, masked.value[start + j]);
  let denominator = sink === null ? 0 : Math.exp(sink - max);
  for (const j of seen) denominator += Math.exp(masked.value[start + j] - max);

  const error = (j: number) => masked.bound[start + j] + 2 * u * Math.abs(masked.value[start + j]);
  let shared = sink === null ? 0 : (Math.exp(sink - max) / denominator) * 2 * u * Math.abs(sink);
  for (const j of seen) {
    const weight = Math.exp(masked.value[start + j] - max) / denominator;
    weights.value[start + j] = weight;
    shared += weight * (error(j) + 2 * u * (max - masked.value[start + j]));
  }
  const blocks = Math.ceil(seen.length / 16);
  const rounding = u * (sumError(seen.length + 1) + 4 * blocks + 12);
  for (const j of seen) {
    const own = error(j) + 2 * u * (max - masked.value[start + j]);
    const growth = Math.expm1(own + shared + rounding);
    // Where logits are too uncertain to tell weights at all, a weight is still one.
    weights.bound[start + j] = growth === Infinity ? 1 : weights.value[start + j] * growth + tiny;
  }
  logSumExp.value[row] = max + Math.log(denominator);
  logSumExp.bound[row] = shared + rounding + 2 * u * (Math.abs(max) + Math.abs(logSumExp.value[row]));
}

function projectOutput({ sizes, outputProjection, precision }: AttentionCall, concat: Bounded): Bounded {
  if (outputProjection === null) return concat;
  const out = bounded(sizes.batch, sizes.queries, sizes.outputWidth);
  const width = sizes.heads * sizes.valueHeadSize;
  const weightBound = weightBounds(outputProjection, precision);
  const bound = operandBounds(concat.value, concat.bound, precision);
  for (let row = 0; row < sizes.batch * sizes.queries; row++) {
    const from = concat.value.subarray(row * width, (row + 1) * width);
    const bounds = bound.subarray(row * width, (row + 1) * width);
    const at = row * sizes.outputWidth;
    for (let c = 0; c < sizes.outputWidth; c++)
      applyLinear(out, at + c, outputProjection, weightBound, 0, c, from, bounds, precision);
  }
  return out;
}
