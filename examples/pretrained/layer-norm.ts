import type { Weights } from './tfjs-weights.ts';

/**
 * Layer normalisation of each row (Ba, Kiros and Hinton 2016, arXiv 1607.06450):
 * (x − mean) / √(variance + ε) · scale + bias. Summed in float64, rounded once.
 *
 * @param x [L, D]
 * @param scale [D]
 * @param bias [D]
 */
export function layerNorm(x: Weights, scale: Weights, bias: Weights, epsilon: number): Weights {
  const [length, size] = x.shape as [number, number];
  const data = new Float32Array(length * size);
  for (let row = 0; row < length; row++) {
    const start = row * size;
    const vector = x.data.subarray(start, start + size);
    const mean = vector.reduce((sum, value) => sum + value, 0) / size;
    const variance = vector.reduce((sum, value) => sum + (value - mean) ** 2, 0) / size;
    const inverse = 1 / Math.sqrt(variance + epsilon);
    for (let d = 0; d < size; d++) {
      data[start + d] = (vector[d] - mean) * inverse * scale.data[d] + bias.data[d];
    }
  }
  return { shape: [length, size], data };
}
