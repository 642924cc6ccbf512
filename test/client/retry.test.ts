import { describe, expect, it } from 'vitest';
import { readRetryAfter } from '../../src/client/retry.ts';

describe('Retry-After', () => {
  const now = Date.parse('2026-11-24T08:00:00Z');

  it.each([
    [undefined, undefined],
    ['0', 0],
    ['120', 120],
    ['Tue, 24 Nov 2026 08:00:30 GMT', 30],
    ['Tue, 24 Nov 2026 07:00:00 GMT', 0],
    ['Tuesday, 24-Nov-26 08:00:30 GMT', 30],
    ['Tuesday, 24-Nov-26 07:00:00 GMT', 0],
    ['Tue Nov 24 08:00:30 2026', 30],
    ['Tue Dec  1 08:00:00 2026', 7 * 86_400],
    ['soon', undefined],
    ['-1', undefined],
    ['1.5', undefined],
    ['', undefined],
    ['2026-11-24T08:00:30Z', undefined],
    ['Tue, 24 Nov 2026 08:00:30 +0100', undefined],
    ['Tue, 24 Now 2026 08:00:30 GMT', undefined],
    ['Tue, 24 Nov 2026 24:00:30 GMT', undefined],
    ['Tuesday, 24-Nov-2026 08:00:30 GMT', undefined],
    ['Tue Nov 24 08:00:30 2026 GMT', undefined],
  ])('%j is %s seconds', (header, seconds) => {
    expect(readRetryAfter(header, now)).toBe(seconds);
  });

  it.each([
    ['at most 50 years ahead', 'Tuesday, 24-Nov-76 08:00:00 GMT', 2026, 2076],
    ['else in the past', 'Thursday, 24-Nov-77 08:00:00 GMT', 2026, 1977],
    ['in the next century', 'Thursday, 24-Nov-01 08:00:00 GMT', 2099, 2101],
  ])('a year of two digits is %s', (_where, header, currentYear, year) => {
    const atMs = Date.UTC(currentYear, 10, 24, 8);
    const expected = Math.max(0, (Date.UTC(year, 10, 24, 8) - atMs) / 1000);
    expect(readRetryAfter(header, atMs)).toBe(expected);
  });
});
