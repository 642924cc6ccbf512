import { expect, test } from 'vitest';
import type { Ticket } from '../../src/engine/engine.ts';
import { Sequences } from '../../src/service/sessions/sequences.ts';
import type { Sequence } from '../../src/wire/kserve/sequence.ts';
import { until } from '../engine/support.ts';
import { encoded, type Place, shared, TOKEN_BYTES, withSessions } from '../service/sessions/support.ts';

/* A sequence whose requests go wrong is as if they had never been sent. */

/** Tokens whose float64 attention takes some tenths of a second. */
const MANY = 500;
const SEQUENCE: Sequence = { id: 7n, starts: false, ends: false };

/** Sends requests of the sequence 7 on the layer whose calls take their time. */
function sender({ engine, sessions }: Place) {
  const sequences = new Sequences(sessions);
  return async (count: number, flags: Partial<Sequence> = {}, ticket?: Ticket): Promise<number> => {
    const used = ticket ?? engine.admit(0);
    const bytes = shared(JSON.stringify({ embeddings: encoded(1, count) }));
    const request = { format: 'json', bytes, answerFormat: 'json' };
    try {
      const answer = await sequences.append('slow', { ...SEQUENCE, ...flags }, request, used);
      return JSON.parse(Buffer.from(answer.bytes).toString()).position;
    } finally {
      if (ticket === undefined) used.release();
    }
  };
}

test('a beginning that is given up leaves the sequence that runs, and none of its memory', async () => {
  await withSessions({ threads: 2 }, async (place) => {
    const { engine, sessions } = place;
    const send = sender(place);
    expect(await send(10, { starts: true })).toBe(10);
    const before = sessions.stats();
    const ticket = engine.admit(0);
    const tiles = engine.stats().tilesComputed;
    const fate = send(MANY, { starts: true }, ticket).catch((error: unknown) => error);
    await until(() => engine.stats().tilesComputed > tiles);
    expect(sessions.stats().open).toBe(before.open + 1);
    const next = send(5);
    ticket.cancel();
    expect(await fate).toMatchObject({ name: 'AbortError' });
    ticket.release();
    expect(await next).toBe(15);
    expect(sessions.stats()).toEqual(before);
    expect(await send(1, { ends: true })).toBe(16);
    expect(sessions.stats()).toEqual({ open: 0, bytes: 0 });
  });
});

test('one that starts again has its memory, and that of the one before is free', async () => {
  await withSessions({ threads: 1 }, async (place) => {
    const send = sender(place);
    for (let round = 0; round < 20; round++) expect(await send(200, { starts: true })).toBe(200);
    // Numbers of float64, with room for as many again.
    expect(place.sessions.stats()).toEqual({ open: 1, bytes: 4096 + 400 * 2 * TOKEN_BYTES });
    expect(await send(1, { starts: true, ends: true })).toBe(1);
    expect(place.sessions.stats()).toEqual({ open: 0, bytes: 0 });
  });
});

test('a request whose deadline passes while it waits for its turn is told at once, and not done', async () => {
  await withSessions({ threads: 1 }, async (place) => {
    const { engine } = place;
    const send = sender(place);
    const first = send(2 * MANY, { starts: true });
    const ticket = engine.admit(0, { deadlineMs: 20 });
    await expect(send(1, {}, ticket)).rejects.toMatchObject({ code: 'deadline_exceeded', status: 504 });
    ticket.release();
    const last = send(1);
    expect(await Promise.all([first, last])).toEqual([2 * MANY, 2 * MANY + 1]);
  });
});
