/**
 * C += A·Bᵀ on float64 panels: c[i·cStride + j] += Σ_k a[i·depth + k]·b[j·depth + k] for i < m, j < n, with A [m, depth]
 * and B [n, depth] contiguous. Each element is one sum over k in ascending order, whatever block it falls into, so the
 * result does not depend on how rows are grouped. 4 x 2 accumulators stay in registers.
 */
export function multiplyAddTransposed(
  a: Float64Array,
  m: number,
  b: Float64Array,
  n: number,
  depth: number,
  c: Float64Array,
  cStride: number,
): void {
  let i = 0;
  for (; i + 4 <= m; i += 4) {
    const a0 = i * depth;
    const a1 = a0 + depth;
    const a2 = a1 + depth;
    const a3 = a2 + depth;
    let j = 0;
    for (; j + 2 <= n; j += 2) {
      const b0 = j * depth;
      const b1 = b0 + depth;
      const c0 = i * cStride + j;
      const c1 = c0 + cStride;
      const c2 = c1 + cStride;
      const c3 = c2 + cStride;
      let s00 = c[c0];
      let s01 = c[c0 + 1];
      let s10 = c[c1];
      let s11 = c[c1 + 1];
      let s20 = c[c2];
      let s21 = c[c2 + 1];
      let s30 = c[c3];
      let s31 = c[c3 + 1];
      for (let k = 0; k < depth; k++) {
        const x = b[b0 + k];
        const y = b[b1 + k];
        const p = a[a0 + k];
        const q = a[a1 + k];
        const r = a[a2 + k];
        const s = a[a3 + k];
        s00 += p * x;
        s01 += p * y;
        s10 += q * x;
        s11 += q * y;
        s20 += r * x;
        s21 += r * y;
        s30 += s * x;
        s31 += s * y;
      }
      c[c0] = s00;
      c[c0 + 1] = s01;
      c[c1] = s10;
      c[c1 + 1] = s11;
      c[c2] = s20;
      c[c2 + 1] = s21;
      c[c3] = s30;
      c[c3 + 1] = s31;
    }
    if (j < n) for (let r = i; r < i + 4; r++) multiplyAddOne(a, r, b, j, depth, c, r * cStride + j);
  }
  for (; i < m; i++) for (let j = 0; j < n; j++) multiplyAddOne(a, i, b, j, depth, c, i * cStride + j);
}

function multiplyAddOne(
  a: Float64Array,
  i: number,
  b: Float64Array,
  j: number,
  depth: number,
  c: Float64Array,
  at: number,
): void {
  const aAt = i * depth;
  const bAt = j * depth;
  let sum = c[at];
  for (let k = 0; k < depth; k++) sum += a[aAt + k] * b[bAt + k];
  c[at] = sum;
}
