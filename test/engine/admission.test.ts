import { expect, test } from 'vitest';
import { planFlops } from '../../src/engine/budget.ts';
import { planBytes } from '../../src/kernels/memory.ts';
import { kernelNamed } from '../../src/kernels/registry.ts';
import { problemOf } from '../support/problem.ts';
import { longCall, smallCall, until, withEngine } from './support.ts';

test('requests are admitted up to the limit, and again when one has left', async () => {
  await withEngine({ threads: 1, limits: { queueRequests: 2 } }, async (engine) => {
    const [first, second] = [engine.admit(0), engine.admit(0)];
    const refusal = problemOf(() => engine.admit(0));
    expect(refusal).toMatchObject({ code: 'over_capacity', status: 503, retryAfterSeconds: 1 });
    first.release();
    first.release();
    const third = engine.admit(0);
    problemOf(() => engine.admit(0));
    second.release();
    third.release();
    expect(engine.stats()).toMatchObject({ requests: 0, bytes: 0 });
  });
});

test('bytes are reserved for bodies and what grows out of them, and given back once', async () => {
  await withEngine({ threads: 1, limits: { queueBytes: 1000 } }, async (engine) => {
    const ticket = engine.admit(600);
    expect(problemOf(() => engine.admit(401))).toMatchObject({ code: 'over_capacity' });
    expect(problemOf(() => ticket.reserve(401)).retryAfterSeconds).toBeGreaterThanOrEqual(1);
    ticket.reserve(400);
    expect(engine.stats().bytes).toBe(1000);
    ticket.release();
    ticket.release();
    expect(engine.stats().bytes).toBe(0);
  });
});

test('the memory of a call counts until its request has left', async () => {
  const call = smallCall();
  const bytes = planBytes(kernelNamed('reference').plan(call));
  await withEngine({ threads: 1 }, async (engine) => {
    const ticket = engine.admit(100);
    await ticket.compute(call);
    expect(engine.stats().bytes).toBe(100 + bytes);
    ticket.release();
    expect(engine.stats().bytes).toBe(0);
  });
});

test('a call over the budget of one request is refused with what it needs and what is allowed', async () => {
  const call = smallCall();
  const bytes = planBytes(kernelNamed('reference').plan(call));
  const refusals = async (limits: object) => {
    let refusal: unknown;
    await withEngine({ threads: 1, limits }, async (engine) => {
      const ticket = engine.admit(0);
      refusal = await ticket.compute(call).catch((error) => error);
      expect(engine.stats()).toMatchObject({ bytes: 0, jobs: 0 });
      ticket.release();
    });
    return refusal;
  };
  expect(await refusals({ requestFlops: 10 })).toMatchObject({
    code: 'over_budget',
    status: 422,
    message: expect.stringMatching(/needs .*e2 floating-point operations; one request may use 1\.0e1\./),
  });
  const flops = planFlops(kernelNamed('reference').plan(call));
  expect(await refusals({ requestFlops: flops * (1 - 1e-4) })).toMatchObject({
    message: expect.not.stringMatching(/needs (\S+) .* may use \1\.$/),
  });
  expect(await refusals({ requestBytes: bytes - 1 })).toMatchObject({
    code: 'over_budget',
    message: expect.stringContaining(`needs ${bytes} bytes`),
  });
  expect(await refusals({ queueBytes: bytes - 1 })).toMatchObject({ code: 'over_budget' });
});

test('a backlog makes the time to try again longer', async () => {
  await withEngine({ threads: 1, limits: { queueRequests: 4 } }, async (engine) => {
    const tickets = [0, 1, 2, 3].map(() => engine.admit(0));
    const jobs = tickets.map((ticket) => ticket.compute(longCall()).catch((error: Error) => error.name));
    expect(problemOf(() => engine.admit(0)).retryAfterSeconds).toBeGreaterThan(1);
    for (const ticket of tickets) ticket.cancel();
    expect(await Promise.all(jobs)).toEqual(Array(4).fill('AbortError'));
    for (const ticket of tickets) ticket.release();
    await until(() => engine.stats().bytes === 0);
  });
});
