import type { Examples } from './example.ts';

export const gradientsExamples: Examples = {
  one_query: {
    summary: 'How the output of one query moves with each of its inputs',
    description: 'The vector-Jacobian product with grad_output = 1: the derivative of the one output number.',
    value: {
      query: [[1, 2]],
      key: [
        [1, 0],
        [0, 2],
      ],
      value: [[4], [10]],
      grad_output: [[1]],
      scale: 1,
    },
  },
  causal: {
    summary: 'Causal self-attention over two tokens, in float64',
    description: 'The first token sees itself only, so its query has no influence: its gradient is 0.',
    value: {
      query: [
        [1, 0],
        [0, 1],
      ],
      key: [
        [1, 0],
        [0, 1],
      ],
      value: [
        [1, 2],
        [3, 4],
      ],
      grad_output: [
        [1, 1],
        [1, 0],
      ],
      causal: true,
      precision: 'float64',
    },
  },
};
