import { expect, test } from 'vitest';
import { makeCall } from '../support/calls.ts';
import { withEngine } from './support.ts';

const MIB = 1024 * 1024;

test('the memory of finished calls is given back to the system', async () => {
  const returns = { presentKeyValue: true };
  const call = makeCall({ precision: 'float32', queries: 1, newKeys: 64 * 1024, headSize: 64, returns });
  await withEngine({ threads: 2 }, async (engine) => {
    let allocated = 0;
    const compute = async () => {
      const ticket = engine.admit(0);
      await ticket.compute(call);
      allocated += engine.stats().bytes;
      ticket.release();
    };
    await compute();
    const before = process.memoryUsage().rss;
    while (allocated < 1536 * MIB) await compute();
    expect(process.memoryUsage().rss - before).toBeLessThan(512 * MIB);
  });
});
