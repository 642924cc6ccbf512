import { expect, test } from 'vitest';
import { seeded } from '../../support/random.ts';
import { damagedFile, readsExactlyOrRefuses, wholeFile } from './damage.ts';

test('damaged files are read to the letter or refused; the long run is among the heavy suites', () => {
  const random = seeded(1);
  const counts = { read: 0, refused: 0 };
  for (let file = 0; file < 3000; file++)
    counts[readsExactlyOrRefuses(damagedFile(random)) ? 'read' : 'refused']++;
  expect(counts.read).toBeGreaterThan(100);
  expect(counts.refused).toBeGreaterThan(1000);
  for (let file = 0; file < 100; file++) expect(readsExactlyOrRefuses(wholeFile(random))).toBe(true);
});
