import { expect, test } from 'vitest';
import { CODECS, checkNumbers } from '../wire/json/numbers.ts';

const COUNT = 10_000_000;
/** Each part has a seed of its own, so that a failure can be run again alone. */
const PARTS = 10;

/** Of each: decimals that are read, and float32s that are written; and a fifth as many as float64. */
test('ten million random numbers, read and written by each codec', { timeout: 1200_000 }, () => {
  const start = performance.now();
  const seed = Date.now() & 0xffff;
  for (let part = 0; part < PARTS; part++) {
    try {
      checkNumbers(COUNT / PARTS, seed * PARTS + part);
    } catch (error) {
      throw new Error(`With seed ${seed * PARTS + part}: ${(error as Error).message}`);
    }
  }
  const seconds = (performance.now() - start) / 1000;
  console.log(`${COUNT} numbers read and as many written, ${CODECS.length} codecs, ${seconds.toFixed(0)} s`);
  expect(CODECS.length).toBeGreaterThan(0);
});
