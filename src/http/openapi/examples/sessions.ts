import type { Examples } from './example.ts';
import { EXAMPLE_LAYER } from './layers.ts';
import { theCatSat } from './two-heads.ts';

export const beginSessionExamples: Examples = {
  layer: {
    summary: 'A session on a layer',
    description: 'As long as the service allows.',
    value: { layer: EXAMPLE_LAYER },
  },
  short: {
    summary: 'A session of 2048 tokens at most',
    description: 'Its memory grows with what is appended.',
    value: { layer: EXAMPLE_LAYER, max_length: 2048 },
  },
};

export const appendExamples: Examples = {
  prefill: {
    summary: 'The first three tokens, if nothing has been appended yet',
    description: 'Sent again, this is answered again and appended once.',
    value: {
      embeddings: theCatSat,
      expected_position: 0,
    },
  },
  decode: {
    summary: 'The next token, and whom it attends to',
    description: 'The map has a column for every token that it sees, the new one last.',
    value: { embeddings: [[0.5, 0, 1, 0]], return: { weights: { reduce: 'mean' } } },
  },
};
