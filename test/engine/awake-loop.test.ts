import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { AwakeLoop } from '../../src/engine/awake-loop.ts';
import { withEngine } from './support.ts';

const LONGEST_MS = 50;

/** For how long a loop has waited awake, in milliseconds. */
function waited(loop: AwakeLoop): number {
  return loop.idleMs - performance.nodeTiming.idleTime;
}

/** A request that came `afterMs` after the one before it had left, and has left. */
function served(loop: AwakeLoop, afterMs: number): void {
  const nowMs = performance.now();
  loop.came(nowMs - afterMs);
  loop.left(nowMs - afterMs);
  loop.came(nowMs);
  loop.left(nowMs);
}

test('the loop stays awake after a request that came right after another, and then sleeps', async () => {
  const loop = new AwakeLoop(LONGEST_MS);
  served(loop, LONGEST_MS / 2);
  await sleep(2 * LONGEST_MS);
  expect(waited(loop)).toBeGreaterThan(0);
  expect(waited(loop)).toBeLessThan(2 * LONGEST_MS);
  const before = waited(loop);
  await sleep(LONGEST_MS / 2);
  expect(waited(loop)).toBeCloseTo(before, 6);
});

test('a client that takes its time is not waited for', async () => {
  const loop = new AwakeLoop(LONGEST_MS);
  served(loop, LONGEST_MS);
  await sleep(LONGEST_MS / 2);
  expect(waited(loop)).toBe(0);
});

test('the waiting ends with the request that comes', async () => {
  const loop = new AwakeLoop(LONGEST_MS);
  served(loop, 0);
  await turn();
  loop.came(performance.now());
  const before = waited(loop);
  await sleep(LONGEST_MS / 2);
  expect(waited(loop)).toBeCloseTo(before, 6);
});

/** Turns that the event loop takes in some milliseconds in which nothing happens. */
async function turnsOfNothing(): Promise<number> {
  const { loopCount } = performance.nodeTiming.uvMetricsInfo;
  await sleep(3);
  return performance.nodeTiming.uvMetricsInfo.loopCount - loopCount;
}

test('requests of an engine keep its loop awake', async () => {
  await withEngine({ threads: 1 }, async (engine) => {
    // Somebody else may have the processor for longer than the loop stays awake.
    await expect
      .poll(
        async () => {
          for (let request = 0; request < 2; request++) engine.admit(0).release();
          return turnsOfNothing();
        },
        { interval: 1, timeout: 20_000 },
      )
      .toBeGreaterThan(20);
    engine.admit(0).release();
    expect(await turnsOfNothing()).toBeLessThan(10);
  });
});
