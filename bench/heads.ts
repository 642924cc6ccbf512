/** [B, first, second, d] to [B, second, first, d]: between heads-first and tokens-first. */
export function swapHeads(
  data: Float32Array,
  [batch, first, second, size]: readonly [number, number, number, number],
): Float32Array {
  const out = new Float32Array(data.length);
  for (let b = 0; b < batch; b++)
    for (let i = 0; i < first; i++)
      for (let j = 0; j < second; j++) {
        const from = ((b * first + i) * second + j) * size;
        out.set(data.subarray(from, from + size), ((b * second + j) * first + i) * size);
      }
  return out;
}
