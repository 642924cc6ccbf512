import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Service, startService } from '../support/service.ts';

/*
 * The card that explains attention, formula by formula, as calls of the service:
 *
 *   Q = X·W_Q, K = X·W_K, V = X·W_V        score(i, j) = q_i·k_j
 *   Attention(Q, K, V) = softmax(QKᵀ/√d_k)·V        Σ_j a_ij = 1        output_i = Σ_j a_ij·v_j
 *   MultiHead(X) = Concat(head_1 … head_h)·W_O
 */

const SDPA = '/v1/scaled-dot-product-attention';
const MHA = '/v1/multi-head-attention';

type Matrix = number[][];

let service: Service;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service.close());

/** A sentence of three tokens and its learned matrices, small enough to follow by hand. */
const X: Matrix = [
  [1, 0, 2, -1],
  [0, 1, -1, 0.5],
  [1, 1, 0, 0],
];
const W_Q: Matrix = [
  [1, 0, 0.5, 0],
  [0, 1, 0, -0.5],
  [1, 0, 1, 0],
  [0, 1, 0, 1],
];
const W_K: Matrix = [
  [0, 1, 0, 1],
  [1, 0, 0.25, 0],
  [0, 0.5, 1, 0],
  [1, 0, 0, 0.5],
];
const W_V: Matrix = [
  [2, 0, 1, 0],
  [0, 1, 0, 3],
  [1, 1, 0, 0],
  [0, 0, 1, -1],
];
const W_O: Matrix = [
  [1, 0, 0, 1],
  [0, 1, 1, 0],
  [0, 2, 1, 0],
  [1, 0, 0, -1],
];

const times = (a: Matrix, b: Matrix): Matrix =>
  a.map((row) => b[0].map((_, c) => row.reduce((sum, x, k) => sum + x * b[k][c], 0)));
const transpose = (a: Matrix): Matrix => a[0].map((_, c) => a.map((row) => row[c]));
const columns = (a: Matrix, from: number, to: number): Matrix => a.map((row) => row.slice(from, to));
const softmaxRows = (a: Matrix): Matrix =>
  a.map((row) => {
    const powers = row.map(Math.exp);
    const sum = powers.reduce((total, power) => total + power, 0);
    return powers.map((power) => power / sum);
  });
const scaled = (a: Matrix, factor: number): Matrix => a.map((row) => row.map((x) => x * factor));

/** Numbers that agree to half a unit of the given decimal: by default what float32 holds of numbers near 1. */
function expectClose(actual: unknown, expected: unknown, digits = 6): void {
  const [a, e] = [actual, expected].map((value) => [value].flat(5) as number[]);
  expect(a.length).toBe(e.length);
  a.forEach((value, index) => {
    expect(value, `element ${index}`).toBeCloseTo(e[index], digits);
  });
}

describe('the formulas', () => {
  const [Q, K, V] = [W_Q, W_K, W_V].map((weight) => times(X, weight));

  it('Q = X·W_Q, K = X·W_K, V = X·W_V: keys and values come back as projected, and scores are Q·Kᵀ', async () => {
    const projections = { w_q: W_Q, w_k: W_K, w_v: W_V };
    const asked = { kv: true, logits: 'raw' };
    const answer = await service.ask(MHA, { embeddings: X, projections, return: asked });
    expect(answer.present_key).toEqual(K);
    expect(answer.present_value).toEqual(V);
    expect(answer.logits).toEqual([times(Q, transpose(K))]);
  });

  it('score(i, j) = q_i·k_j', async () => {
    const answer = await service.ask(SDPA, { query: Q, key: K, value: V, return: { logits: 'raw' } });
    for (const i of [0, 1, 2])
      for (const j of [0, 1, 2])
        expect(answer.logits[0][i][j]).toBe(Q[i].reduce((sum, q, c) => sum + q * K[j][c], 0));
  });

  it('Attention(Q, K, V) = softmax(QKᵀ/√d_k)·V', async () => {
    const answer = await service.ask(SDPA, { query: Q, key: K, value: V, return: { weights: true } });
    const weights = softmaxRows(scaled(times(Q, transpose(K)), 1 / Math.sqrt(4)));
    expectClose(answer.weights[0], weights);
    expectClose(answer.output, times(weights, V));
    expect(answer.applied.scale).toBe(0.5);
  });

  it('the weights of a token sum to 1', async () => {
    const { weights } = await service.ask(SDPA, { query: Q, key: K, value: V, return: { weights: true } });
    for (const row of weights[0] as Matrix) {
      const sum = row.reduce((total, weight) => total + weight, 0);
      expect(Math.abs(sum - 1)).toBeLessThanOrEqual(3 * 2 ** -24);
      for (const weight of row) expect(weight).toBeGreaterThan(0);
    }
  });

  it('output_i = Σ_j a_ij·v_j, with the weights and the output of one answer', async () => {
    const answer = await service.ask(SDPA, { query: Q, key: K, value: V, return: { weights: true } });
    expectClose(answer.output, times(answer.weights[0], V));
  });

  it('MultiHead(X) = Concat(head_1, head_2)·W_O', async () => {
    const projections = { w_q: W_Q, w_k: W_K, w_v: W_V };
    const heads = [0, 2].map((from) => {
      const [q, k, v] = [Q, K, V].map((matrix) => columns(matrix, from, from + 2));
      return times(softmaxRows(scaled(times(q, transpose(k)), 1 / Math.sqrt(2))), v);
    });
    const concat = heads[0].map((row, i) => [...row, ...heads[1][i]]);
    const bare = await service.ask(MHA, { embeddings: X, projections, heads: 2 });
    expectClose(bare.output, concat);
    const whole = await service.ask(MHA, {
      embeddings: X,
      projections: { ...projections, w_o: W_O },
      heads: 2,
    });
    expectClose(whole.output, times(concat, W_O));
  });
});

describe('the four mistakes', () => {
  const query = [[1, 2]];
  const key = [
    [1, 0],
    [0, 2],
  ];
  const value = [[4], [10]];

  it('1. taking the scores for the output: they are another thing of another shape', async () => {
    const answer = await service.ask(SDPA, { query, key, value, return: { logits: 'raw' } });
    expect(answer.logits).toEqual([[[1, 4]]]);
    expect(answer.output).toHaveLength(1);
    expect(answer.output[0]).toHaveLength(1);
    expect(answer.output[0][0]).toBeGreaterThan(4);
    expect(answer.output[0][0]).toBeLessThan(10);
  });

  it('2. forgetting 1/√d_k: scale 1 makes the softmax sharper, and moves the output by 0.3577', async () => {
    const asked = { weights: true, logits: 'scaled' };
    const right = await service.ask(SDPA, { query, key, value, return: asked });
    const wrong = await service.ask(SDPA, { query, key, value, scale: 1, return: asked });
    expectClose(right.logits, [1 / Math.SQRT2, 4 / Math.SQRT2]);
    expectClose(wrong.logits, [1, 4]);
    expectClose(right.weights, [0.107, 0.893], 4);
    expectClose(wrong.weights, [0.0474, 0.9526], 4);
    // With two keys, the weight of the second is 1/(1 + e^(l_1 - l_2)); the values are 6 apart.
    const second = (difference: number) => 1 / (1 + Math.exp(-difference));
    const moved = 6 * (second(3) - second(3 / Math.SQRT2));
    expectClose(wrong.output[0][0] - right.output[0][0], moved, 5);
    expect(moved).toBeCloseTo(0.3577, 4);
    expect(right.applied.scale).toBe(1 / Math.SQRT2);
    expect(wrong.applied.scale).toBe(1);
  });

  it('3. "only neighbours": a token far away gets weight, as much as its key earns; a window is what forbids it', async () => {
    const length = 100;
    const far = Array.from({ length }, (_, i) => (i === 0 ? [3, 0] : [0, 1]));
    const values = Array.from({ length }, (_, i) => [i === 0 ? 1 : 0]);
    const last = Array.from({ length }, () => [4, 0]);
    const asked = { weights: { queries: [length - 1] } };
    const body = { query: last, key: far, value: values, return: asked };
    const everyone = await service.ask(SDPA, body);
    const weight = Math.exp(12 / Math.SQRT2) / (Math.exp(12 / Math.SQRT2) + length - 1);
    // A float32 sum of a hundred terms: a hundred roundings of 2^-24 at most.
    expect(Math.abs(everyone.weights[0][0][0] - weight)).toBeLessThan(length * 2 ** -24);
    expect(Math.abs(everyone.output[length - 1][0] - weight)).toBeLessThan(length * 2 ** -24);
    expect(weight).toBeGreaterThan(0.97);

    const neighbours = await service.ask(SDPA, { ...body, window: { left: 1, right: 1 } });
    expect(neighbours.weights[0][0].slice(0, length - 2)).toEqual(new Array(length - 2).fill(0));
    expectClose(neighbours.weights[0][0].slice(length - 2), [0.5, 0.5]);
    expect(neighbours.output[length - 1]).toEqual([0]);
  });

  it('4. mixing up keys and values: the output changes', async () => {
    const values = [
      [4, 1],
      [-1, 10],
    ];
    const right = await service.ask(SDPA, { query, key, value: values });
    const wrong = await service.ask(SDPA, { query, key: values, value: key });
    const weights = softmaxRows([[6 / Math.SQRT2, 19 / Math.SQRT2]]);
    expectClose(wrong.output, times(weights, key));
    expect(Math.abs(wrong.output[0][0] - right.output[0][0])).toBeGreaterThan(0.4);
    expect(Math.abs(wrong.output[0][1] - right.output[0][1])).toBeGreaterThan(7);
  });
});

describe('the questions', () => {
  it('1. q = [1, 2], k_1 = [1, 0], k_2 = [0, 2]: the scores are 1 and 4', async () => {
    const key = [
      [1, 0],
      [0, 2],
    ];
    const body = { query: [[1, 2]], key, value: [[1], [0]], return: { logits: 'raw', weights: true } };
    const answer = await service.ask(SDPA, body);
    expect(answer.logits).toEqual([[[1, 4]]]);
    expect(answer.applied.formula).toContain('softmax(QKᵀ/√2)·V');
  });

  it.each(['float32', 'float64'])(
    '2. weights 0.25 and 0.75 over the values 4 and 10: the output is 8.5 (%s)',
    async (precision) => {
      // ln(1) and ln(3) are the logits of the weights 1/4 and 3/4.
      const key = { dtype: 'float64', shape: [2, 1], data: [Math.log(1), Math.log(3)] };
      const body = { query: [[1]], key, value: [[4], [10]], precision, return: { weights: true } };
      const answer = await service.ask(SDPA, body);
      const digits = precision === 'float64' ? 14 : 6;
      expectClose(answer.weights, [0.25, 0.75], digits);
      expectClose(answer.output, [8.5], digits);
    },
  );
});
