import { expect, test } from 'vitest';
import { seeded } from '../../support/random.ts';
import { damagedBody, decodesRightOrRefuses, wholeBody } from './damage.ts';

test('whole requests are decoded to what they say, or say why not', () => {
  const random = seeded(1);
  const decoded = Array.from({ length: 2000 }, () => decodesRightOrRefuses(wholeBody(random)));
  expect(decoded.filter(Boolean).length).toBeGreaterThan(1000);
});

test('damaged requests are decoded to what they say, or refused', () => {
  const random = seeded(2);
  const decoded = Array.from({ length: 10_000 }, () => decodesRightOrRefuses(damagedBody(random)));
  expect(decoded.filter(Boolean).length).toBeGreaterThan(100);
});
