import { expect, test } from 'vitest';
import { kernelNamed } from '../../src/kernels/registry.ts';
import { computeHere, longCall, mediumCall, smallCall, until, withEngine } from './support.ts';

const reference = kernelNamed('reference');

function tilesOf(call: ReturnType<typeof longCall>): number {
  return reference.plan(call).stages.reduce((sum, { tiles }) => sum + tiles, 0);
}

test('a cancelled call is told at once, frees its worker, and its bytes when the worker is back', async () => {
  await withEngine({ threads: 1 }, async (engine) => {
    const ticket = engine.admit(0);
    const job = ticket.compute(longCall());
    await until(() => engine.stats().tilesComputed > 0);
    ticket.cancel();
    ticket.release();
    expect(ticket.signal.aborted).toBe(true);
    expect(engine.stats().runningSlices).toBe(1);
    expect(engine.stats().bytes).toBeGreaterThan(0);
    await expect(job).rejects.toThrow('cancelled');
    await until(() => engine.stats().runningSlices === 0);
    expect(engine.stats()).toMatchObject({ requests: 0, bytes: 0, jobs: 0 });
    expect(engine.stats().tilesComputed).toBeLessThan(tilesOf(longCall()) / 2);

    const next = engine.admit(0);
    const { memory } = await next.compute(smallCall());
    next.release();
    expect(memory).toEqual(computeHere(reference, smallCall()));
  });
});

test('a cancelled call that waits never starts', async () => {
  await withEngine({ threads: 1 }, async (engine) => {
    const [running, waiting] = [engine.admit(0), engine.admit(0)];
    const first = running.compute(mediumCall());
    const second = waiting.compute(longCall());
    waiting.cancel();
    await expect(second).rejects.toThrow('cancelled');
    await first;
    expect(engine.stats().tilesComputed).toBe(tilesOf(mediumCall()));
    running.release();
    waiting.release();
  });
});

test('nothing is done for a ticket that was cancelled before', async () => {
  await withEngine({ threads: 1 }, async (engine) => {
    const ticket = engine.admit(0);
    ticket.cancel();
    await expect(ticket.compute(smallCall())).rejects.toThrow('cancelled');
    await expect(ticket.decode('json', new Uint8Array(2), {})).rejects.toThrow('cancelled');
    ticket.release();
    await expect(ticket.compute(smallCall())).rejects.toThrow('cancelled');
    expect(engine.stats()).toMatchObject({ requests: 0, bytes: 0, jobs: 0, tilesComputed: 0 });
  });
});

test('a deadline that the body names is counted from the admission, and only ever comes sooner', async () => {
  const inputs = ['query', 'key', 'value'].map((name) => {
    return { name, shape: [2048, 64], datatype: 'FP32', parameters: { binary_data_size: 2048 * 64 * 4 } };
  });
  const requestOf = (timeout: number) => {
    const json = JSON.stringify({ inputs, parameters: { precision: 'float64', timeout } });
    const bytes = new Uint8Array(new SharedArrayBuffer(json.length + inputs.length * 2048 * 64 * 4));
    bytes.set(Buffer.from(json));
    return {
      operation: 'scaled_dot_product_attention',
      format: 'kserve',
      bytes,
      inference: { model: 'm', headerBytes: json.length },
      answerFormat: 'kserve',
    };
  };
  await withEngine({ threads: 1 }, async (engine) => {
    const ticket = engine.admit(0);
    await expect(ticket.call(requestOf(1))).rejects.toThrow(/not done within 0\.001 ms/);
    ticket.release();
    const soon = engine.admit(0, { deadlineMs: 40 });
    await expect(soon.call(requestOf(60e6))).rejects.toThrow(/not done within 40 ms/);
    soon.release();
    const running = engine.admit(0);
    const answer = running.call(requestOf(60_000));
    await expect(answer).rejects.toThrow(/not done within 60 ms/);
    running.release();
    await until(() => engine.stats().bytes === 0);
    expect(engine.stats()).toMatchObject({ requests: 0, jobs: 0, workersLost: 0 });
  });
});

test('a released ticket does no more work', async () => {
  await withEngine({ threads: 1 }, async (engine) => {
    const ticket = engine.admit(0);
    ticket.release();
    await expect(ticket.compute(smallCall())).rejects.toThrow('released');
    expect(engine.stats()).toMatchObject({ requests: 0, bytes: 0, jobs: 0 });
  });
});

test('the deadline ends running and waiting work', async () => {
  await withEngine({ threads: 1 }, async (engine) => {
    const startedMs = performance.now();
    const [running, waiting] = [engine.admit(0, { deadlineMs: 60 }), engine.admit(0, { deadlineMs: 30 })];
    const jobs = [running.compute(longCall()), waiting.compute(longCall())];
    const [first, second] = await Promise.allSettled(jobs);
    const elapsedMs = performance.now() - startedMs;
    expect(first).toMatchObject({
      reason: { code: 'deadline_exceeded', status: 504, message: expect.stringContaining('60 ms') },
    });
    expect(second).toMatchObject({ reason: { code: 'deadline_exceeded' } });
    expect(elapsedMs).toBeGreaterThanOrEqual(60);
    expect(running.signal.reason).toBe((first as PromiseRejectedResult).reason);
    running.release();
    waiting.release();
    await until(() => engine.stats().requests === 0);
    expect(engine.stats().tilesComputed).toBeLessThan(tilesOf(longCall()));
  });
});

test('a deadline that passes between two steps refuses the next one', async () => {
  await withEngine({ threads: 1 }, async (engine) => {
    const ticket = engine.admit(0, { deadlineMs: 5 });
    await until(() => ticket.signal.aborted);
    await expect(ticket.compute(smallCall())).rejects.toMatchObject({ code: 'deadline_exceeded' });
    ticket.release();
  });
});

test('a longer deadline than the limit is cut to it', async () => {
  await withEngine({ threads: 1, limits: { deadlineMs: 5 } }, async (engine) => {
    const ticket = engine.admit(0, { deadlineMs: 1e9 });
    await until(() => ticket.signal.aborted);
    ticket.release();
  });
});

test('closing lets admitted requests finish, refuses new ones, and ends the workers', async () => {
  await withEngine({ threads: 2 }, async (engine) => {
    const ticket = engine.admit(0);
    const first = ticket.compute(mediumCall());
    let isClosed = false;
    const closed = engine.close().then(() => {
      isClosed = true;
    });
    expect(() => engine.admit(0)).toThrow(expect.objectContaining({ code: 'stopping', status: 503 }));
    await first;
    const { memory } = await ticket.compute(smallCall());
    expect(memory).toEqual(computeHere(reference, smallCall()));
    expect(isClosed).toBe(false);
    expect(engine.workers).toHaveLength(2);
    ticket.release();
    await closed;
    expect(engine.workers).toHaveLength(0);
  });
});

test('a small call does not wait for a big one to end', async () => {
  await withEngine({ threads: 1 }, async (engine) => {
    const [big, small] = [engine.admit(0), engine.admit(0)];
    const long = big.compute(longCall()).catch((error: Error) => error.name);
    await small.compute(smallCall());
    expect(engine.stats().tilesComputed).toBeLessThan(tilesOf(longCall()));
    big.cancel();
    expect(await long).toBe('AbortError');
    big.release();
    small.release();
  });
});
