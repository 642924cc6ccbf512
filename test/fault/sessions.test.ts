import { setImmediate } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { until } from '../engine/support.ts';
import { type Appended, type Place, TOKEN_BYTES, withSessions } from '../service/sessions/support.ts';

/* A session whose appends go wrong is as if they had never been sent. */

/** Tokens whose float64 attention takes some tenths of a second. */
const MANY = 500;

/** What two appends give to a session that nothing happens to. */
async function calmly({ begin, append }: Place, first: number, second: number): Promise<Appended> {
  const id = await begin('slow');
  await append(id, first);
  return append(id, second, { seed: 2 });
}

/** Resolves when workers compute an append. */
async function underWay(
  { engine }: Place,
  append: () => Promise<unknown>,
): Promise<{ fate: Promise<unknown> }> {
  const before = engine.stats().tilesComputed;
  const fate = append().catch((error: unknown) => error);
  await until(() => engine.stats().tilesComputed > before);
  return { fate };
}

test('the death of a worker fails the append that it was at, and leaves the session as it was', async () => {
  await withSessions({ threads: 2 }, async (place) => {
    const { engine, sessions, begin, append, positionOf } = place;
    const id = await begin('slow');
    await append(id, MANY);
    const { fate } = await underWay(place, () => append(id, MANY, { seed: 3 }));
    const waiting = append(id, 10, { seed: 2, expectedPosition: MANY });
    for (const worker of engine.workers) void worker.terminate();
    expect(await fate).toMatchObject({ code: 'worker_lost', status: 503 });
    const next = await waiting.catch(() => append(id, 10, { seed: 2, expectedPosition: MANY }));
    expect(next).toMatchObject({ output: (await calmly(place, MANY, 10)).output, position: MANY + 10 });
    expect(await positionOf(id)).toBe(MANY + 10);
    expect((await sessions.find(id)).bytes).toBe(2 * 2 * MANY * TOKEN_BYTES);
  });
});

test('an append that is cancelled leaves the session as it was, and the next one waits until it has left', async () => {
  await withSessions({ threads: 2 }, async (place) => {
    const { engine, begin, append, positionOf } = place;
    const [id, other] = [await begin('slow'), await begin()];
    await append(id, MANY);
    const cancelled = engine.admit(0);
    const { fate } = await underWay(place, () => append(id, MANY, { seed: 3, ticket: cancelled }));
    cancelled.cancel();
    expect(await fate).toMatchObject({ name: 'AbortError' });
    expect(await positionOf(id)).toBe(MANY);
    let isDone = false;
    const next = append(id, MANY, { seed: 2 }).finally(() => {
      isDone = true;
    });
    await append(other, 10);
    await until(() => engine.stats().runningSlices === 0);
    await append(other, 10);
    expect(isDone).toBe(false);
    cancelled.release();
    expect(await next).toMatchObject({
      output: (await calmly(place, MANY, MANY)).output,
      position: 2 * MANY,
    });
  });
});

test('an append whose deadline passes while it waits for its turn is told at once, and not done', async () => {
  await withSessions({ threads: 1 }, async (place) => {
    const { engine, begin, append, positionOf } = place;
    const id = await begin('slow');
    const { fate } = await underWay(place, () => append(id, 2 * MANY));
    const ticket = engine.admit(0, { deadlineMs: 20 });
    await expect(append(id, 1, { ticket })).rejects.toMatchObject({ code: 'deadline_exceeded', status: 504 });
    ticket.release();
    expect(await positionOf(id)).toBe(0);
    expect(await fate).toMatchObject({ position: 2 * MANY });
    expect((await append(id, 1, { expectedPosition: 2 * MANY })).position).toBe(2 * MANY + 1);
  });
});

test('a session that is deleted while it is appended to still answers, and its memory is free', async () => {
  await withSessions({ threads: 1 }, async (place) => {
    const { sessions, begin, append } = place;
    const id = await begin('slow');
    const { fate } = await underWay(place, () => append(id, MANY));
    sessions.end(id);
    expect(sessions.stats()).toEqual({ open: 0, bytes: 0 });
    expect(await fate).toMatchObject({ position: MANY });
    await expect(append(id, 1)).rejects.toMatchObject({ code: 'session_lost' });
    expect(sessions.stats()).toEqual({ open: 0, bytes: 0 });
  });
});

test('under pressure of memory sessions are lost between their appends, never during one, and the others stay right', async () => {
  const [rounds, count, sequences] = [25, 20, 6];
  const bytes = 3 * rounds * count * TOKEN_BYTES;
  await withSessions({ threads: 2, limits: { sessionBytes: bytes } }, async (place) => {
    const { sessions, begin, append } = place;
    const calm = await begin();
    const expected: Appended[] = [];
    for (let round = 0; round < rounds; round++) expected.push(await append(calm, count, { seed: round }));
    sessions.end(calm);

    const seen = { done: 0, lost: 0, refused: 0 };
    // While every other session is at an append, none can make room for a new one.
    const beginAmongOthers = async (): Promise<string> => {
      for (;;) {
        const begun = await begin().catch((error) => error);
        if (typeof begun === 'string') return begun;
        expect(begun).toMatchObject({ code: 'over_capacity', retryAfterSeconds: 1 });
        await setImmediate();
      }
    };
    const run = async (): Promise<void> => {
      let [id, round] = [await beginAmongOthers(), 0];
      for (let attempt = 0; attempt < 2 * rounds; attempt++) {
        const expectedPosition = round * count;
        const outcome = await append(id, count, { seed: round, expectedPosition }).catch((error) => error);
        expect(sessions.stats().bytes).toBeLessThanOrEqual(bytes);
        if (outcome.code === undefined) {
          expect(outcome).toMatchObject({
            output: expected[round].output,
            position: expectedPosition + count,
          });
          seen.done++;
          round = (round + 1) % rounds;
          if (round === 0) id = await beginAmongOthers();
        } else if (outcome.code === 'session_lost') {
          seen.lost++;
          [id, round] = [await beginAmongOthers(), 0];
        } else {
          expect(outcome).toMatchObject({ code: 'over_capacity', retryAfterSeconds: 1 });
          seen.refused++;
          await setImmediate();
        }
      }
    };
    await Promise.all(Array.from({ length: sequences }, run));
    expect(seen.done + seen.lost + seen.refused).toBe(2 * rounds * sequences);
    expect(seen.done).toBeGreaterThan(rounds);
    expect(seen.lost).toBeGreaterThan(0);
  });
});
