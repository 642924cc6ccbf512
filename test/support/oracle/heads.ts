import type {
  AttentionCall,
  HeadSource,
  HeadView,
  Linear,
  Positions,
  Rope,
} from '../../../src/domain/call.ts';
import type { Precision } from '../../../src/domain/tensor.ts';
import { type Bounded, bounded, operandBounds, sumError, UNIT_ROUNDOFF } from './bounded.ts';

/** Queries [B, H, L, d], keys [B, G, S + E, d] and values [B, G, S + E, d_v] of a call, as attention meets them. */
export function heads(call: AttentionCall, u: number): { query: Bounded; key: Bounded; value: Bounded } {
  const { sizes, rope, past, extras } = call;
  const newKeys = sizes.keys - sizes.past;
  const rowsOf = (source: HeadSource, count: number, rows: number, size: number) =>
    source.kind === 'given'
      ? given(source.view, sizes.batch, count, rows, size)
      : projected(source, call, count, rows);

  let query = rowsOf(call.query, sizes.heads, sizes.queries, sizes.headSize);
  let key = rowsOf(call.key, sizes.kvHeads, newKeys, sizes.headSize);
  let value = rowsOf(call.value, sizes.kvHeads, newKeys, sizes.valueHeadSize);
  if (rope !== null) {
    query = rotated(query, rope, rope.queryPositions, u);
    key = rotated(key, rope, rope.keyPositions, u);
  }
  if (past !== null) {
    key = joined(given(past.key, sizes.batch, sizes.kvHeads, sizes.past, sizes.headSize), key);
    value = joined(given(past.value, sizes.batch, sizes.kvHeads, sizes.past, sizes.valueHeadSize), value);
  }
  for (const extra of extras) {
    key = joined(key, everywhere(extra.key, sizes.batch, sizes.kvHeads, sizes.headSize));
    value = joined(value, everywhere(extra.value, sizes.batch, sizes.kvHeads, sizes.valueHeadSize));
  }
  return { query, key, value };
}

function given(view: HeadView, batch: number, count: number, rows: number, size: number): Bounded {
  const out = bounded(batch, count, rows, size);
  let at = 0;
  for (let b = 0; b < batch; b++)
    for (let h = 0; h < count; h++)
      for (let i = 0; i < rows; i++)
        for (let c = 0; c < size; c++)
          out.value[at++] = view.data[b * view.batchStride + h * view.headStride + i * view.rowStride + c];
  return out;
}

function everywhere(row: ArrayLike<number>, batch: number, count: number, size: number): Bounded {
  return given(
    { data: Float64Array.from(row), batchStride: 0, headStride: size, rowStride: 0 },
    batch,
    count,
    1,
    size,
  );
}

function projected(
  source: Extract<HeadSource, { kind: 'projected' }>,
  call: AttentionCall,
  count: number,
  rows: number,
): Bounded {
  const { linear, tokens } = source;
  const out = bounded(call.sizes.batch, count, rows, linear.headSize);
  const weightBound = weightBounds(linear, call.precision);
  const token = new Float64Array(tokens.width);
  const exact = new Float64Array(tokens.width);
  let at = 0;
  for (let b = 0; b < call.sizes.batch; b++)
    for (let h = 0; h < count; h++)
      for (let i = 0; i < rows; i++) {
        for (let k = 0; k < tokens.width; k++)
          token[k] = tokens.data[(b * tokens.rows + i) * tokens.width + k];
        const bounds = operandBounds(token, exact, call.precision);
        for (let c = 0; c < linear.headSize; c++, at++)
          applyLinear(out, at, linear, weightBound, h, c, token, bounds, call.precision);
      }
  return out;
}

/** The bounds of the weights of a projection as operands, at the same indices. */
export function weightBounds({ weight }: Linear, precision: Precision): Float64Array {
  return operandBounds(weight, new Float64Array(weight.length), precision);
}

/** One element of x·W + b: out[at], from a row and the bounds of its elements and of the weights as operands. */
export function applyLinear(
  out: Bounded,
  at: number,
  linear: Linear,
  weightBound: Float64Array,
  head: number,
  column: number,
  row: Float64Array,
  rowBound: Float64Array,
  precision: Precision,
): void {
  const u = UNIT_ROUNDOFF[precision];
  const { weight, inStride, inWidth } = linear;
  const start = (linear.headColumn[head] + column) * linear.outStride;
  let sum = linear.bias === null ? 0 : linear.bias[linear.biasColumn[head] + column];
  let magnitude = Math.abs(sum);
  let inherited = 0;
  for (let k = 0; k < inWidth; k++) {
    const [x, w] = [row[k], weight[start + k * inStride]];
    const [dx, dw] = [rowBound[k], weightBound[start + k * inStride]];
    sum += x * w;
    magnitude += Math.abs(x * w);
    inherited += dx * Math.abs(w) + Math.abs(x) * dw + dx * dw;
  }
  out.value[at] = sum;
  out.bound[at] = inherited + sumError(linear.inWidth + 2) * u * magnitude;
}

function rotated(rows: Bounded, rope: Rope, positions: Positions, u: number): Bounded {
  const [batch, count, length, size] = rows.shape;
  const out = { shape: rows.shape, value: rows.value.slice(), bound: rows.bound.slice() };
  const pairs = rope.dims / 2;
  for (let b = 0; b < batch; b++)
    for (let h = 0; h < count; h++)
      for (let i = 0; i < length; i++) {
        const start = ((b * count + h) * length + i) * size;
        const position =
          positions.kind === 'from' ? positions.first + i : positions.table[b * positions.batchStride + i];
        for (let p = 0; p < pairs; p++) {
          const first = start + (rope.pairing === 'half' ? p : 2 * p);
          const second = start + (rope.pairing === 'half' ? p + pairs : 2 * p + 1);
          const { cos, sin, error } = turn(rope, position, p, u);
          const [x, y] = [rows.value[first], rows.value[second]];
          const bound =
            rows.bound[first] + rows.bound[second] + (error + 2 * u) * (Math.abs(x) + Math.abs(y));
          out.value[first] = x * cos - y * sin;
          out.value[second] = y * cos + x * sin;
          out.bound[first] = bound;
          out.bound[second] = bound;
        }
      }
  return out;
}

/** The rotation of one pair. Angles are computed in float64, so a far position costs |angle|·2^-53, not |angle|·u. */
export function turn(
  rope: Rope,
  position: number,
  pair: number,
  u: number,
): { cos: number; sin: number; error: number } {
  if (rope.table !== null) {
    const at = position * (rope.dims / 2) + pair;
    return { cos: rope.table.cos[at], sin: rope.table.sin[at], error: 0 };
  }
  const angle = position / rope.theta ** ((2 * pair) / rope.dims);
  return { cos: Math.cos(angle), sin: Math.sin(angle), error: 2 * u + 8 * Math.abs(angle) * 2 ** -53 };
}

/** Rows of one after the rows of the other, along the third axis. */
function joined(first: Bounded, second: Bounded): Bounded {
  const [batch, count, firstRows, size] = first.shape;
  const secondRows = second.shape[2];
  const out = bounded(batch, count, firstRows + secondRows, size);
  for (let block = 0; block < batch * count; block++) {
    const at = block * (firstRows + secondRows) * size;
    for (const field of ['value', 'bound'] as const) {
      out[field].set(first[field].subarray(block * firstRows * size, (block + 1) * firstRows * size), at);
      out[field].set(
        second[field].subarray(block * secondRows * size, (block + 1) * secondRows * size),
        at + firstRows * size,
      );
    }
  }
  return out;
}
