// Keys and values of a head, brought into the form that the inner loop reads.
import { packHeight, packHeightColumns } from './pack';
import { broadcast, COLUMN, HEIGHT, isFinite } from './simd';
import { BLOCK, firstKey, headSize, keyPanels, keySizes, marks, valuePanels, valueSize, valueStride } from './state';

/**
 * Packs one block of keys from `first` on, given as rows of keys and rows of values. Rows that are not finite are
 * marked and replaced by zeros: a forbidden key may hold anything, and 0·NaN is not 0. Whoever sees a marked key reports
 * it.
 */
export function packKeys(keys: usize, values: usize, first: i32, count: i32): void {
  const at = first - firstKey;
  const keyBytes = <usize>headSize << 2;
  const valueBytes = <usize>valueSize << 2;
  let marked = false;
  for (let i = 0; i < count; i++) {
    const key = keys + <usize>i * keyBytes;
    const value = values + <usize>i * valueBytes;
    const finite = isFinite(key, headSize) && isFinite(value, valueSize);
    store<u8>(marks + at + i, finite ? 0 : 1);
    if (finite) continue;
    memory.fill(key, 0, keyBytes);
    memory.fill(value, 0, valueBytes);
    marked = true;
  }
  store<f32>(keySizes + (<usize>(at / BLOCK) << 2), marked ? Infinity : largest(keys, count * headSize));
  packHeight(keys, keyBytes, count, headSize, keyPanels + <usize>(at / HEIGHT) * <usize>headSize * COLUMN);
  packHeightColumns(values, valueSize, count, valuePanels + <usize>at * COLUMN, valueStride());
}

/** The largest |x| of finite numbers. */
function largest(x: usize, count: i32): f32 {
  const end = x + (<usize>count << 2);
  const whole = x + ((<usize>count << 2) & ~15);
  let sizes = broadcast(0);
  for (; x < whole; x += 16) sizes = f32x4.pmax(sizes, f32x4.abs(v128.load(x)));
  let size = max(
    max(f32x4.extract_lane(sizes, 0), f32x4.extract_lane(sizes, 1)),
    max(f32x4.extract_lane(sizes, 2), f32x4.extract_lane(sizes, 3)),
  );
  for (; x < end; x += 4) size = max(size, abs(load<f32>(x)));
  return size;
}
