import { availableParallelism } from 'node:os';
import { expect, test } from 'vitest';
import { defaultThreads, parseCpuMax } from '../../src/engine/threads.ts';

test.each([
  ['max 100000\n', Number.POSITIVE_INFINITY],
  ['200000 100000\n', 2],
  ['150000 100000', 1.5],
  ['', Number.POSITIVE_INFINITY],
])('the CPU quota %j is %d processors', (text, processors) => {
  expect(parseCpuMax(text)).toBe(processors);
});

test('there is at least one thread, and no more than there are processors', () => {
  expect(defaultThreads()).toBeGreaterThanOrEqual(1);
  expect(defaultThreads()).toBeLessThanOrEqual(availableParallelism());
});
