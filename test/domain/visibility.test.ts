import { expect, it } from 'vitest';
import type { Visibility } from '../../src/domain/call.ts';
import { readersFrom, readersTo, visibleFrom, visibleTo } from '../../src/domain/visibility.ts';

const QUERIES = 7;
const KEYS = 9;

function* visibilities(): Generator<Visibility> {
  for (const causal of [false, true])
    for (const offset of [-12, -3, 0, 2, 12])
      for (const windowLeft of [null, 0, 2, 20])
        for (const windowRight of [null, 0, 3, 20])
          yield {
            causal,
            offsets: [0, offset],
            windowLeft,
            windowRight,
            keyLengths: [KEYS, KEYS],
            allow: null,
            forbid: null,
            keyValid: null,
          };
}

it('gives the queries that read a key as the other side of the keys that a query sees', () => {
  for (const visibility of visibilities())
    for (let key = 0; key < KEYS; key++)
      for (let query = 0; query < QUERIES; query++) {
        const sees = key >= visibleFrom(visibility, 1, query) && key < visibleTo(visibility, 1, query);
        const isRead =
          query >= readersFrom(visibility, 1, key) && query < readersTo(visibility, 1, key, QUERIES);
        expect(isRead, `query ${query}, key ${key}, ${JSON.stringify(visibility)}`).toBe(sees);
      }
});
