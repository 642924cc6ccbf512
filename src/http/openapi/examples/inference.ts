import type { Examples } from './example.ts';

const oneQuery = [
  { name: 'query', shape: [1, 2], datatype: 'FP32', data: [1, 2] },
  { name: 'key', shape: [2, 2], datatype: 'FP32', data: [1, 0, 0, 2] },
  { name: 'value', shape: [2, 1], datatype: 'FP32', data: [4, 10] },
];

/** For the model scaled-dot-product-attention. */
const inferExamples: Examples = {
  one_query: {
    summary: 'One query, two keys',
    description:
      'The scores are 1 and 4; softmax makes them 0.047 and 0.953, the weights of the values 4 and 10.',
    value: {
      id: '42',
      inputs: oneQuery,
      parameters: { scale: 1 },
      outputs: [{ name: 'output' }, { name: 'weights' }],
    },
  },
  structured_options: {
    summary: 'Options that are objects, as JSON strings',
    description:
      'Three tokens, two heads, each token sees itself and those before it; the strongest key of each.',
    value: {
      inputs: ['query', 'key', 'value'].map((name) => ({
        name,
        shape: [1, 3, 4],
        datatype: 'FP32',
        data: [
          [
            [1, 0, 0, 1],
            [0, 2, 1, 0],
            [1, 1, 0, 1],
          ],
        ],
      })),
      parameters: {
        heads: 2,
        causal: 'upper_left',
        return: '{"weights": {"top_k": 1}, "log_sum_exp": true}',
      },
    },
  },
  masked: {
    summary: 'A mask, and numbers that are integers',
    description: 'The second key may not be attended: the output is the first value.',
    value: {
      inputs: [
        ...oneQuery.slice(0, 2),
        { name: 'value', shape: [2, 1], datatype: 'INT32', data: [4, 10] },
        { name: 'forbid_mask', shape: [1, 2], datatype: 'BOOL', data: [false, true] },
      ],
    },
  },
};

/** Request examples under /v2 by operationId. */
export const INFERENCE_EXAMPLES: Readonly<Record<string, Examples>> = {
  infer: inferExamples,
  inferVersion: inferExamples,
  indexRepository: {
    all: { summary: 'All models', description: 'The body may as well be empty.', value: {} },
    ready: { summary: 'Models that are ready', description: 'All or none.', value: { ready: true } },
  },
  loadModel: { plain: { summary: 'Load a model', description: 'The body may as well be empty.', value: {} } },
  unloadModel: {
    plain: {
      summary: 'Unload a model',
      description: 'As the Python client sends it.',
      value: { parameters: { unload_dependents: false } },
    },
  },
};
