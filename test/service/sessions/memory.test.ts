import { expect, test } from 'vitest';
import { DEFAULT_LIMITS } from '../../../src/domain/limits.ts';
import { TOKEN_BYTES, withSessions } from './support.ts';

const IDLE_MS = DEFAULT_LIMITS.sessionIdleMs;
const LOST = { code: 'session_lost', status: 410 };
/** What a session counts for besides its tokens. */
const OWN_BYTES = 4096;

test('memory grows with the tokens, by doubling, up to max_length', async () => {
  await withSessions({ limits: { sessionTokens: 300 } }, async ({ sessions, begin, append }) => {
    const id = await begin();
    const sizes: number[] = [];
    for (const count of [1, 63, 1, 135, 100]) {
      await append(id, count);
      sizes.push((await sessions.find(id)).bytes / TOKEN_BYTES);
    }
    expect(sizes).toEqual([64, 64, 130, 300, 300]);
    expect(sessions.stats()).toEqual({ open: 1, bytes: OWN_BYTES + 300 * TOKEN_BYTES });
    sessions.end(id);
    expect(sessions.stats()).toEqual({ open: 0, bytes: 0 });
  });
});

test('the memory of a window stays as large as the window asks, however many tokens come', async () => {
  await withSessions({}, async ({ sessions, begin, append, positionOf }) => {
    const id = await begin('window');
    await append(id, 1000);
    expect((await sessions.find(id)).bytes).toBe(2000 * TOKEN_BYTES);
    for (let round = 0; round < 300; round++) {
      await append(id, 1);
      expect((await sessions.find(id)).bytes).toBeLessThanOrEqual(64 * TOKEN_BYTES);
    }
    expect(await positionOf(id)).toBe(1300);
    expect(sessions.stats().bytes).toBe(OWN_BYTES + 64 * TOKEN_BYTES);
  });
});

test('a session is lost when nothing has been appended for so long, and asking for it does not keep it', async () => {
  await withSessions({}, async ({ clock, sessions, begin, append }) => {
    const [kept, left] = [await begin(), await begin()];
    clock.nowMs = IDLE_MS - 1;
    await append(kept, 1);
    expect((await sessions.find(left)).expires_at).toBe(new Date(IDLE_MS).toISOString());
    clock.nowMs = IDLE_MS;
    await expect(append(left, 1)).rejects.toMatchObject(LOST);
    await expect(sessions.find(left)).rejects.toThrow(`for ${IDLE_MS / 1000} seconds`);
    expect((await sessions.find(kept)).expires_at).toBe(new Date(2 * IDLE_MS - 1).toISOString());
    expect(sessions.stats().open).toBe(1);
  });
});

test('where memory is short, the sessions that have waited for longest are lost', async () => {
  const bytes = 3 * (OWN_BYTES + 128 * TOKEN_BYTES);
  await withSessions({ limits: { sessionBytes: bytes } }, async ({ clock, sessions, begin, append }) => {
    const ids: string[] = [];
    for (let index = 0; index < 3; index++) {
      clock.nowMs = index;
      ids.push(await begin());
      await append(ids[index], 64);
    }
    clock.nowMs = 3;
    await append(ids[0], 1, { seed: 2 });
    const next = await begin();
    await append(next, 64);
    await expect(sessions.find(ids[1])).rejects.toThrow('its memory was needed for others');
    await expect(append(ids[1], 1)).rejects.toMatchObject(LOST);
    expect((await append(ids[0], 1)).position).toBe(66);
    expect(sessions.stats().bytes).toBeLessThanOrEqual(bytes);
  });
});

test('a session takes what it needs at least where twice as much is not to be had, and no more than all may have', async () => {
  const bytes = OWN_BYTES + 300 * TOKEN_BYTES;
  await withSessions({ limits: { sessionBytes: bytes } }, async ({ sessions, begin, append, positionOf }) => {
    const id = await begin();
    await append(id, 100);
    expect((await sessions.find(id)).bytes).toBe(200 * TOKEN_BYTES);
    await expect(append(id, 150)).rejects.toMatchObject({ code: 'over_budget', status: 422 });
    await expect(append(id, 101)).rejects.toMatchObject({ code: 'over_budget' });
    expect((await append(id, 100)).position).toBe(200);
    expect(await positionOf(id)).toBe(200);
    const exact = await begin();
    await expect(sessions.find(id)).resolves.toMatchObject({ position: 200 });
    expect((await append(exact, 250)).position).toBe(250);
    expect((await sessions.find(exact)).bytes).toBe(250 * TOKEN_BYTES);
    await expect(sessions.find(id)).rejects.toMatchObject(LOST);
  });
});

test('sessions without a token have an end too', async () => {
  await withSessions({ limits: { sessionBytes: 10 * OWN_BYTES } }, async ({ sessions, begin }) => {
    const ids: string[] = [];
    for (let index = 0; index < 25; index++) ids.push(await begin());
    expect(sessions.stats()).toEqual({ open: 10, bytes: 10 * OWN_BYTES });
    await expect(sessions.find(ids[14])).rejects.toMatchObject(LOST);
    await expect(sessions.find(ids[15])).resolves.toMatchObject({ position: 0 });
  });
});
