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

test('the tensors of bodies lie in memory that goes from one request to the next', async () => {
  const data = Buffer.from(new Float32Array(512 * 512).fill(0.5).buffer).toString('base64');
  const tensor = { shape: [512, 512], data };
  const text = Buffer.from(JSON.stringify({ query: tensor, key: tensor, value: tensor }));
  await withEngine({ threads: 2 }, async (engine) => {
    const call = async () => {
      const ticket = engine.admit(text.length);
      const bytes = ticket.takeBody(text.length, text.length);
      bytes.set(text);
      const request = { operation: 'scaled_dot_product_attention', format: 'json', bytes };
      await ticket.call({ ...request, answerFormat: 'npy' });
      ticket.release();
    };
    for (let warmUp = 0; warmUp < 10; warmUp++) await call();
    const before = process.memoryUsage().rss;
    for (let turn = 0; turn < 200; turn++) await call();
    // Without that, the bodies and tensors alone take 1.4 GiB.
    expect(process.memoryUsage().rss - before).toBeLessThan(128 * MIB);
  });
});
