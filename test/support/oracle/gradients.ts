import type { AttentionCall, Positions } from '../../../src/domain/call.ts';
import { type Bounded, bounded, sumError, UNDERFLOW, UNIT_ROUNDOFF } from './bounded.ts';
import { heads, turn } from './heads.ts';
import { oracle } from './oracle.ts';

/** What the gradients of a call are, with error bounds for the precision of the call. */
export interface GradientOracle {
  /** [B, H, L, d] */
  readonly grad_query: Bounded;
  /** [B, G, S - P, d], past keys being constants. */
  readonly grad_key: Bounded;
  readonly grad_value: Bounded;
}

/**
 * The vector-Jacobian product of attention at gradOutput, from the weights of the oracle, one query at a time. For a
 * row of weights w_j and dO = grad_output: dP_j = dO·v_j, delta = Σ_j w_j·dP_j, and the gradient of the score is
 * dT_j = scale·w_j·(dP_j - delta)·(1 - tanh²). Then dq = Σ_j dT_j·k_j, dk_j = Σ dT_j·q, dv_j = Σ w_j·dO.
 */
export function gradientOracle(call: AttentionCall): GradientOracle {
  const { sizes, score } = call;
  const { batch, queries, past, headSize, valueHeadSize } = sizes;
  const u = UNIT_ROUNDOFF[call.precision];
  const tiny = UNDERFLOW[call.precision];
  const columns = sizes.keys + sizes.extras;
  const group = sizes.heads / sizes.kvHeads;
  const { logits, weights } = oracle(call);
  const { query, key, value } = heads(call, u);
  const gradQuery = bounded(batch, sizes.heads, queries, headSize);
  const gradKey = bounded(batch, sizes.kvHeads, sizes.keys - past, headSize);
  const gradValue = bounded(batch, sizes.kvHeads, sizes.keys - past, valueHeadSize);
  const gradOutput = call.gradOutput!;

  for (let b = 0; b < batch; b++)
    for (let h = 0; h < sizes.heads; h++)
      for (let i = 0; i < queries; i++) {
        const row = (b * sizes.heads + h) * queries + i;
        const kvHead = b * sizes.kvHeads + Math.floor(h / group);
        const gradAt = b * gradOutput.batchStride + h * gradOutput.headStride + i * gradOutput.rowStride;
        const grad = Array.from(gradOutput.data.subarray(gradAt, gradAt + valueHeadSize));
        const seen = Array.from({ length: columns }, (_, j) => j).filter(
          (j) => logits.masked.value[row * columns + j] !== Number.NEGATIVE_INFINITY,
        );

        // dP_j, and the magnitude of its terms
        const gradWeights = seen.map((j) => {
          let sum = 0;
          let magnitude = 0;
          for (let c = 0; c < valueHeadSize; c++) {
            const term = grad[c] * value.value[(kvHead * columns + j) * valueHeadSize + c];
            sum += term;
            magnitude += Math.abs(term);
          }
          return { value: sum, magnitude, bound: sumError(valueHeadSize + 2) * u * magnitude };
        });
        // delta, as a sum over the keys or over the output: the roundings of either are allowed
        let delta = 0;
        let deltaMagnitude = 0;
        let deltaBound = 0;
        seen.forEach((j, at) => {
          const weight = weights.value[row * columns + j];
          delta += weight * gradWeights[at].value;
          deltaMagnitude += weight * gradWeights[at].magnitude;
          deltaBound +=
            weights.bound[row * columns + j] * gradWeights[at].magnitude + weight * gradWeights[at].bound;
        });
        deltaBound += (sumError(seen.length + 2) + sumError(valueHeadSize + 2)) * u * deltaMagnitude;

        seen.forEach((j, at) => {
          const weight = weights.value[row * columns + j];
          const weightBound = weights.bound[row * columns + j];
          const slope = softcapSlope(call, logits.capped, row * columns + j, u);
          const difference = gradWeights[at].value - delta;
          const differenceBound = gradWeights[at].bound + deltaBound + u * Math.abs(difference);
          const gradScore = score.scale * weight * difference * slope.value;
          const gradScoreBound =
            Math.abs(score.scale) *
              ((weightBound * Math.abs(difference) + (weight + weightBound) * differenceBound) *
                (slope.value + slope.bound) +
                weight * Math.abs(difference) * slope.bound) +
            4 * u * Math.abs(gradScore) +
            tiny;

          const keyAt = (kvHead * columns + j) * headSize;
          addProducts(gradQuery, row, gradScore, gradScoreBound, key, keyAt, sumError(seen.length + 3) * u);
          if (j < past || j >= sizes.keys) return;
          const keyRow = kvHead * (sizes.keys - past) + j - past;
          const terms = sumError(group * queries + 3) * u;
          addProducts(gradKey, keyRow, gradScore, gradScoreBound, query, row * headSize, terms);
          const exact = { value: Float64Array.from(grad), bound: new Float64Array(valueHeadSize) };
          addProducts(gradValue, keyRow, weight, weightBound, exact, 0, terms);
        });
      }
  if (call.rope !== null) {
    rotateBack(gradQuery, call, call.rope.queryPositions, u);
    rotateBack(gradKey, call, call.rope.keyPositions, u);
  }
  return { grad_query: gradQuery, grad_key: gradKey, grad_value: gradValue };
}

/** Adds factor·x to a row of sums; `rounding` is what a sum of such terms loses, relative to their magnitude. */
function addProducts(
  sums: Bounded,
  row: number,
  factor: number,
  factorBound: number,
  x: { readonly value: Float64Array; readonly bound: Float64Array },
  at: number,
  rounding: number,
): void {
  const size = sums.shape[3];
  for (let c = 0; c < size; c++) {
    const [element, elementBound] = [Math.abs(x.value[at + c]), x.bound[at + c]];
    sums.value[row * size + c] += factor * x.value[at + c];
    sums.bound[row * size + c] +=
      factorBound * (element + elementBound) +
      Math.abs(factor) * (elementBound + rounding * (element + elementBound));
  }
}

/** 1 - tanh² where the scores are capped, from c·tanh. */
function softcapSlope({ score }: AttentionCall, capped: Bounded, at: number, u: number) {
  if (score.softcap === null) return { value: 1, bound: 0 };
  const tanh = Math.abs(capped.value[at]) / score.softcap;
  const tanhBound = capped.bound[at] / score.softcap + 8 * u * tanh;
  return { value: 1 - tanh * tanh, bound: tanhBound * (2 * tanh + tanhBound) + 3 * u };
}

/** The transpose of the rotation, of rows [B, heads, rows, d]. */
function rotateBack(rows: Bounded, { rope }: AttentionCall, positions: Positions, u: number): void {
  const [batch, count, length, size] = rows.shape;
  const { dims, pairing } = rope!;
  for (let b = 0; b < batch; b++)
    for (let row = 0; row < count * length; row++) {
      const i = row % length;
      const start = (b * count * length + row) * size;
      const position =
        positions.kind === 'from' ? positions.first + i : positions.table[b * positions.batchStride + i];
      for (let p = 0; p < dims / 2; p++) {
        const first = start + (pairing === 'half' ? p : 2 * p);
        const second = start + (pairing === 'half' ? p + dims / 2 : 2 * p + 1);
        const { cos, sin, error } = turn(rope!, position, p, u);
        const [x, y] = [rows.value[first], rows.value[second]];
        const [xBound, yBound] = [rows.bound[first], rows.bound[second]];
        const rounded = (a: number, b: number) =>
          (error + 3 * u * Math.abs(cos)) * Math.abs(a) + (error + 3 * u * Math.abs(sin)) * Math.abs(b);
        rows.value[first] = x * cos + y * sin;
        rows.value[second] = y * cos - x * sin;
        rows.bound[first] = Math.abs(cos) * xBound + Math.abs(sin) * yBound + rounded(x, y);
        rows.bound[second] = Math.abs(cos) * yBound + Math.abs(sin) * xBound + rounded(y, x);
      }
    }
}
