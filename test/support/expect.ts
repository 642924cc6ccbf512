import { expect } from 'vitest';
import type { Bounded } from './oracle/bounded.ts';

/** Fails where an element is farther from the oracle's than its bound, and names the worst one. */
export function expectWithin(what: string, actual: ArrayLike<number>, expected: Bounded, factor = 1): void {
  expect(actual.length, `elements of ${what}`).toBe(expected.value.length);
  let worst = 0;
  let at = -1;
  for (let index = 0; index < actual.length; index++) {
    const [a, e] = [actual[index], expected.value[index]];
    if (a === e || (Number.isNaN(a) && Number.isNaN(e))) continue;
    const ratio = Math.abs(a - e) / (factor * expected.bound[index]);
    if (!(ratio <= worst)) [worst, at] = [ratio, index];
    if (Number.isNaN(ratio)) break;
  }
  if (worst <= 1) return;
  const detail = `${actual[at]} for ${expected.value[at]}, bound ${expected.bound[at]}`;
  expect.fail(`${what}: element ${at} of [${expected.shape}] is off by ${worst} times its bound: ${detail}`);
}

/** Fails unless two arrays hold the same bits. */
export function expectSameBits(what: string, actual: ArrayBufferView, expected: ArrayBufferView): void {
  expect(actual.byteLength, `bytes of ${what}`).toBe(expected.byteLength);
  const [a, b] = [bytesOf(actual), bytesOf(expected)];
  if (a.equals(b)) return;
  const at = a.findIndex((byte, index) => byte !== b[index]);
  expect.fail(`${what}: the bits differ from byte ${at} of ${a.length} on`);
}

function bytesOf(view: ArrayBufferView): Buffer {
  return Buffer.from(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength);
}
