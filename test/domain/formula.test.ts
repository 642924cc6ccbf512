import { expect, test } from 'vitest';
import type { HeadSource } from '../../src/domain/call.ts';
import { formulaOf } from '../../src/domain/formula.ts';
import { makeCall } from '../support/calls.ts';
import { selfAttention } from '../support/projections.ts';

const projections = { ...selfAttention(6, 4), bias: false };
const sizes = { precision: 'float32', queries: 3, heads: 2, headSize: 4 } as const;
const projectionsOf = (call: Parameters<typeof formulaOf>[0]) => formulaOf(call).split('; ').slice(0, 3);

test('a formula says which tokens queries, keys and values are made of', () => {
  const self = makeCall({ ...sizes, projections });
  expect(projectionsOf(self)).toEqual(['Q = X·W_Q', 'K = X·W_K', 'V = X·W_V']);

  const cross = makeCall({ ...sizes, newKeys: 5, projections: { ...projections, contextWidth: 7 } });
  expect(projectionsOf(cross)).toEqual(['Q = X·W_Q', 'K = C·W_K', 'V = C·W_V']);

  const others = (source: HeadSource): HeadSource =>
    source.kind === 'given'
      ? source
      : { ...source, tokens: { ...source.tokens, data: source.tokens.data.slice() } };
  expect(projectionsOf({ ...cross, value: others(cross.value) })).toEqual([
    'Q = X·W_Q',
    'K = C·W_K',
    'V = C_V·W_V',
  ]);
  expect(projectionsOf({ ...self, value: others(self.value) })).toEqual([
    'Q = X·W_Q',
    'K = X·W_K',
    'V = C_V·W_V',
  ]);
});
