/** x·y / (‖x‖·‖y‖), summed in float64. */
export function cosine(x: Float32Array, y: Float32Array): number {
  return dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y));
}

function dot(x: Float32Array, y: Float32Array): number {
  return x.reduce((sum, value, i) => sum + value * y[i], 0);
}

/** Whether two vectors hold the same bits: stricter than equal numbers, since 0 and -0 differ. */
export function sameBits(x: Float32Array, y: Float32Array): boolean {
  const bytes = (v: Float32Array) => Buffer.from(v.buffer, v.byteOffset, v.byteLength);
  return bytes(x).equals(bytes(y));
}

/** Element by element, summed in float64. */
export function mean(vectors: readonly Float32Array[]): number[] {
  return Array.from(vectors[0], (_, i) => vectors.reduce((sum, v) => sum + v[i], 0) / vectors.length);
}
