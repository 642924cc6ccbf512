// y = x·W + b for a block of tokens and a block of columns.
import { ADD, multiply, OVERWRITE } from './microkernel';
import { broadcast, COLUMN, HEIGHT, isZero, LANES, probe, ROW } from './simd';

/** Terms of a block of the sum over k; as in ../geometry.ts. A panel of W of this depth stays in the first-level cache. */
const DEPTH: i32 = 192;

/** Tokens rounded up to whole panels of operand A. */
// @ts-ignore: decorator
@inline
function padded(tokens: i32): i32 {
  return ((tokens + HEIGHT - 1) / HEIGHT) * HEIGHT;
}

/**
 * X·W of tokens and `panels` panels of columns, into `result` [panels][tokens][8], the tokens rounded up to a multiple of
 * 6. Both are packed block by block of the sum, [blocks][panels][depth][6 or 8]: what one block reads lies in one piece,
 * which the processor asks for ahead; where each panel began elsewhere it would wait for every one anew.
 */
export function project(x: usize, tokens: i32, w: usize, panels: i32, width: i32, result: usize): void {
  const panelBytes = <usize>padded(tokens) * ROW;
  for (let k = 0; k < width; k += DEPTH) {
    const depth = min(DEPTH, width - k);
    const into = k == 0 ? OVERWRITE : ADD;
    for (let panel = 0; panel < panels; panel++) {
      multiply(x, <usize>depth * COLUMN, tokens, w, depth, result + <usize>panel * panelBytes, into, 0);
      w += <usize>depth * ROW;
    }
    x += <usize>(padded(tokens) * depth) << 2;
  }
}

/**
 * Adds the bias, padded to whole panels, and writes rows [tokens][columns]. Returns whether all of it is finite.
 */
export function storeColumns(result: usize, tokens: i32, columns: i32, bias: usize, rows: usize): bool {
  const panelBytes = <usize>padded(tokens) * ROW;
  const stride = <usize>columns << 2;
  let probe0 = broadcast(0);
  let probe1 = broadcast(0);
  for (let column = 0; column < columns; column += LANES) {
    const b0 = v128.load(bias);
    const b1 = v128.load(bias, 16);
    const count = columns - column;
    let to = rows + (<usize>column << 2);
    let from = result;
    for (let token = 0; token < tokens; token++) {
      const y0 = f32x4.add(v128.load(from), b0);
      const y1 = f32x4.add(v128.load(from, 16), b1);
      // Columns beyond the last are sums of zeros.
      probe0 = probe(y0, probe0);
      probe1 = probe(y1, probe1);
      if (count >= LANES) {
        v128.store(to, y0);
        v128.store(to, y1, 16);
      } else {
        v128.store(from, y0);
        v128.store(from, y1, 16);
        for (let i = 0; i < count; i++) store<f32>(to + (<usize>i << 2), load<f32>(from + (<usize>i << 2)));
      }
      from += ROW;
      to += stride;
    }
    bias += ROW;
    result += panelBytes;
  }
  return isZero(f32x4.add(probe0, probe1));
}
