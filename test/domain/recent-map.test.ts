import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RecentMap } from '../../src/domain/recent-map.ts';

describe('a map of what is recent', () => {
  test('has what was put into it last under a key, and nothing else', () => {
    const map = new RecentMap<string, number>(2);
    expect(map.get('a')).toBeUndefined();
    map.set('a', 1);
    map.set('a', 2);
    expect([map.get('a'), map.get('b')]).toEqual([2, undefined]);
  });

  test('keeps what is asked for now and then, however much comes meanwhile', () => {
    const map = new RecentMap<string, number>(4);
    map.set('often', 1);
    for (let other = 0; other < 100; other++) {
      map.set(`other ${other}`, other);
      if (other % 4 === 3) expect(map.get('often')).toBe(1);
    }
  });

  test('forgets the oldest beyond twice its size', () => {
    const map = new RecentMap<number, number>(8);
    for (let key = 0; key < 1000; key++) map.set(key, key);
    const gone = Array.from({ length: 984 }, (_, key) => map.get(key));
    expect(new Set(gone)).toEqual(new Set([undefined]));
    const kept = Array.from({ length: 8 }, (_, age) => map.get(999 - age));
    expect(kept).toEqual([999, 998, 997, 996, 995, 994, 993, 992]);
  });

  test('has room for its size of keys that are put in again and again', () => {
    const map = new RecentMap<number, number>(8);
    map.set(-1, -1);
    for (let turn = 0; turn < 100; turn++) map.set(turn % 8, turn);
    expect(map.get(-1)).toBe(-1);
  });

  test('holds on to no value that it has forgotten or replaced, and to every one among the last of its size', () => {
    const key = fc.nat({ max: 9 });
    const step = fc.record({ key, isSet: fc.boolean() });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), fc.array(step, { maxLength: 60 }), (size, steps) => {
        const map = new RecentMap<number, number>(size);
        const last = new Map<number, { value: number; touched: number }>();
        for (const [now, { key, isSet }] of steps.entries()) {
          const known = last.get(key);
          if (isSet) {
            map.set(key, now);
            last.set(key, { value: now, touched: now });
            continue;
          }
          const got = map.get(key);
          if (got !== undefined) {
            expect(got).toBe(known?.value);
            last.set(key, { value: got, touched: now });
          } else if (known !== undefined) {
            // Each step between takes one place at most.
            expect(now - known.touched - 1).toBeGreaterThan(size);
            last.delete(key);
          }
        }
      }),
      { numRuns: 2000, seed: 1 },
    );
  });
});
