import { describe, expect, test } from 'vitest';
import { Problem, type ProblemCode } from '../../../src/domain/problem.ts';
import { binaryBody, type Decoding, decode } from './helpers.ts';

const query = { name: 'query', shape: [1, 2], datatype: 'FP32', data: [1, 2] };
const { data: _, ...placed } = query;

function refused(
  body: object | string,
  code: ProblemCode,
  pointer: string,
  detail: RegExp,
  decoding: Decoding = {},
): void {
  let thrown: unknown;
  try {
    decode(body, decoding);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(Problem);
  const { code: got, message, errors } = thrown as Problem;
  expect([got, errors[0].pointer]).toEqual([code, pointer]);
  expect(message).toMatch(detail);
}

const one = (changes: object) => ({ inputs: [{ ...query, ...changes }] });
const withParameters = (parameters: object) => ({ inputs: [query], parameters });
const withOutputs = (outputs: unknown, parameters: object = {}) => ({ inputs: [query], outputs, parameters });

describe('what is no request', () => {
  test.each<[string, object | string, ProblemCode, string, RegExp]>([
    ['an empty body', '', 'malformed_body', '', /JSON object; got the end/],
    ['an array', '[]', 'malformed_body', '', /JSON object/],
    ['half of one', '{"inputs":[{"name":"query"', 'malformed_body', '', /closing brace/],
    ['something after it', '{"inputs":[]} {}', 'malformed_body', '', /nothing after/],
    ['data without an end', '{"inputs":[{"data":[1,2}]}', 'malformed_body', '/inputs/0/data/1', /'\]'/],
    ['nested data without an end', '{"inputs":[{"data":[[1,2]}]}', 'malformed_body', '', /./],
    [
      'a name that reaches a prototype',
      '{"inputs":[{"__proto__":1}]}',
      'malformed_body',
      '/inputs/0/__proto__',
      /./,
    ],
    ['no inputs', {}, 'invalid_request', '/inputs', /Missing/],
    ['inputs that are none', { inputs: {} }, 'invalid_request', '/inputs', /an array.*; got an object/],
    ['an empty list', { inputs: [] }, 'invalid_request', '/inputs', /at least 1/],
    ['an input that is none', { inputs: [3] }, 'invalid_request', '/inputs/0', /got 3/],
    ['an input in an array', { inputs: [[query]] }, 'invalid_request', '/inputs/0', /got an array/],
    ['no name', { inputs: [{ ...query, name: undefined }] }, 'invalid_request', '/inputs/0/name', /Missing/],
    [
      'another member',
      { inputs: [query], ouputs: [] },
      'invalid_request',
      '/ouputs',
      /did you mean "outputs"/,
    ],
    ['another member of an input', one({ dtype: 'FP32' }), 'invalid_request', '/inputs/0/dtype', /Unknown/],
    ['an id that is a number', { id: 4, inputs: [query] }, 'invalid_request', '/id', /a text; got 4/],
    ['a shape of text', one({ shape: ['1', '2'] }), 'invalid_request', '/inputs/0/shape/0', /integer/],
    [
      'shared memory',
      one({ parameters: { shared_memory_region: 'a' } }),
      'invalid_request',
      '/inputs/0/parameters/shared_memory_region',
      /Unknown/,
    ],
  ])('%s', (_name, body, code, pointer, detail) => {
    if (pointer === '' || pointer === '/inputs/0/data/1') {
      expect(() => decode(body)).toThrow(Problem);
      expect(() => decode(body)).toThrow(detail);
    } else refused(body, code, pointer, detail);
  });

  test('nesting without end, and an envelope without end', () => {
    refused(`{"a":${'['.repeat(400_000)}`, 'malformed_body', '', /closing brace/);
    refused(`{"a":${'['.repeat(400_000)}}`, 'malformed_body', '/a/0', /32 levels/);
    const padding = Array.from({ length: 100 }, () => 'x'.repeat(100));
    refused({ inputs: [query], id: padding }, 'invalid_request', '/id', /at most 1000 bytes/, {
      limits: { envelopeBytes: 1000 },
    });
  });

  test('data is no part of the envelope, names are', () => {
    const limits = { envelopeBytes: 200 };
    const data = Array.from({ length: 1000 }, () => 1);
    expect(decode(one({ shape: [1, 1000], data }), { limits }).tensors.query.data).toHaveLength(1000);
    refused(one({ shape: Array(100).fill(1), data }), 'invalid_request', '/inputs', /at most 200/, {
      limits,
    });
  });
});

describe('inputs', () => {
  test.each<[string, object, ProblemCode, string, RegExp]>([
    ['an unknown name', one({ name: 'querry' }), 'invalid_request', '/inputs/0/name', /did you mean "query"/],
    [
      'a name that is far from all',
      one({ name: 'x'.repeat(99) }),
      'invalid_request',
      '/inputs/0/name',
      /metadata/,
    ],
    ['one twice', { inputs: [query, query] }, 'invalid_request', '/inputs/1/name', /once.*after \/inputs\/0/],
    ['BYTES', one({ datatype: 'BYTES' }), 'invalid_request', '/inputs/0/datatype', /"BYTES": strings/],
    [
      'a datatype that is none',
      one({ datatype: 'float32' }),
      'invalid_request',
      '/inputs/0/datatype',
      /FP32, FP64/,
    ],
    ['strings', one({ data: ['a', 'b'] }), 'invalid_request', '/inputs/0/data', /got a string.*BYTES/],
    [
      'a string',
      one({ data: 'AAAA' }),
      'invalid_request',
      '/inputs/0/data',
      /array of numbers.*got a string/,
    ],
    ['null', one({ data: null }), 'invalid_request', '/inputs/0/data', /got null/],
    ['objects', one({ data: [{}] }), 'invalid_request', '/inputs/0/data', /got an object/],
    ['FP16 as JSON', one({ datatype: 'FP16' }), 'invalid_request', '/inputs/0/data', /FP16 as bytes/],
    ['BF16 as JSON', one({ datatype: 'BF16' }), 'invalid_request', '/inputs/0/data', /BF16 as bytes/],
    ['too few elements', one({ shape: [3, 2] }), 'invalid_request', '/inputs/0/data', /6 elements.*got 2/],
    ['too many elements', one({ data: [1, 2, 3] }), 'invalid_request', '/inputs/0/data', /2 elements.*got 3/],
    [
      'rows that are short',
      one({ shape: [2, 2], data: [[1, 2], [3]] }),
      'invalid_tensor',
      '/inputs/0/data/1',
      /2 entries.*got 1/,
    ],
    [
      'rows that are few',
      one({ shape: [3, 1], data: [[1], [3]] }),
      'invalid_tensor',
      '/inputs/0/data',
      /3 entries/,
    ],
    [
      'a row that is a number',
      one({ shape: [2, 1], data: [[1], 2] }),
      'invalid_tensor',
      '/inputs/0/data/1',
      /an array.*got 2/,
    ],
    [
      'a number that is a row',
      one({ shape: [2], data: [1, [2]] }),
      'invalid_tensor',
      '/inputs/0/data/1',
      /a number/,
    ],
    ['a word in it', one({ data: [1, true] }), 'invalid_tensor', '/inputs/0/data/1', /a number.*got true/],
    ['a number beyond FP32', one({ data: [1, 1e39] }), 'invalid_tensor', '/inputs/0/data/1', /1e\+?39/],
    [
      'FP64 beyond a float32 call',
      one({ datatype: 'FP64', data: [1, 1e39] }),
      'invalid_tensor',
      '/inputs/0/data/1',
      /got 1e\+39\. Elements of float64 with precision "float64" may be larger\.$/,
    ],
    [
      'a fraction',
      one({ datatype: 'INT32', data: [1, 1.5] }),
      'invalid_tensor',
      '/inputs/0/data/1',
      /integer.*1\.5/,
    ],
    [
      '300 in INT8',
      one({ datatype: 'INT8', data: [1, 300] }),
      'invalid_tensor',
      '/inputs/0/data/1',
      /-128 to 127 \(INT8\) at index \[0, 1\]; got 300/,
    ],
    [
      '-1 in UINT64',
      one({ datatype: 'UINT64', data: [[1, -1]] }),
      'invalid_tensor',
      '/inputs/0/data/0/1',
      /from 0 to/,
    ],
    [
      '2^53 in INT64',
      one({ datatype: 'INT64', data: [1, 2 ** 53] }),
      'invalid_tensor',
      '/inputs/0/data/1',
      /2\^53/,
    ],
    [
      'BOOL for numbers',
      one({ datatype: 'BOOL', data: [true, true] }),
      'invalid_tensor',
      '/inputs/0/datatype',
      /allow_mask/,
    ],
    ['numbers for a mask', one({ name: 'allow_mask' }), 'invalid_tensor', '/inputs/0/datatype', /BOOL.*bias/],
    [
      '2 in a mask',
      one({ name: 'allow_mask', datatype: 'BOOL', data: [1, 2] }),
      'invalid_tensor',
      '/inputs/0/data/1',
      /0 or 1/,
    ],
    ['no size', one({ shape: [] }), 'invalid_request', '/inputs/0/shape', /1 to 4 sizes; got 0/],
    [
      'five sizes',
      one({ shape: [1, 1, 1, 1, 2] }),
      'invalid_request',
      '/inputs/0/shape',
      /1 to 4 sizes; got 5/,
    ],
    [
      'sizes that overflow',
      one({ shape: [2 ** 40, 2 ** 40] }),
      'invalid_request',
      '/inputs/0/shape',
      /2\^53/,
    ],
    ['a negative size', one({ shape: [-1, 2] }), 'invalid_request', '/inputs/0/shape/0', />= 0/],
    [
      'neither data nor bytes',
      { inputs: [placed] },
      'invalid_request',
      '/inputs/0/data',
      /Missing.*binary_data_size/,
    ],
    [
      'data and bytes',
      one({ parameters: { binary_data_size: 8 } }),
      'invalid_request',
      '/inputs/0/data',
      /got both/,
    ],
  ])('%s', (_name, body, code, pointer, detail) => {
    refused(body, code, pointer, detail);
  });

  test('NaN, as Python writes it', () => {
    const text = JSON.stringify(one({})).replace('[1,2]}', '[1,NaN]}');
    refused(text, 'invalid_tensor', '/inputs/0/data/1', /got NaN/);
  });
});

describe('bytes', () => {
  const request = (size: number, shape = [1, 2], datatype = 'FP32') => ({
    inputs: [{ ...placed, shape, datatype, parameters: { binary_data_size: size } }],
  });
  const SIZE = '/inputs/0/parameters/binary_data_size';

  function refusedBytes(
    [size, shape, datatype]: Parameters<typeof request>,
    sent: Uint8Array,
    code: ProblemCode,
    pointer: string,
    detail: RegExp,
  ): void {
    const { body, headerBytes } = binaryBody(request(size, shape, datatype), 0, sent);
    refused(body, code, pointer, detail, { headerBytes });
  }

  test('of a bias that are -Infinity, with what forbids keys', () => {
    const bias = { ...placed, name: 'bias', parameters: { binary_data_size: 8 } };
    const sent = Buffer.from(Float32Array.of(Number.NEGATIVE_INFINITY, 0).buffer);
    const { body, headerBytes } = binaryBody({ inputs: [bias] }, 0, sent);
    const detail = /at index \[0, 0\]; got -Infinity\. Keys are forbidden by `allow_mask`/;
    refused(body, 'invalid_tensor', '/inputs/0', detail, { headerBytes });
  });

  test('that are too few, too many, or of another size than the shape says', () => {
    refusedBytes([8], new Uint8Array(7), 'malformed_body', SIZE, /8 bytes behind the JSON; only 7 are left/);
    expect(() => {
      const { body, headerBytes } = binaryBody(request(8), 0, new Uint8Array(9));
      decode(body, { headerBytes });
    }).toThrow(/take 8 bytes behind the JSON; expected no more, got 1 more/);
    refusedBytes([7], new Uint8Array(7), 'invalid_request', SIZE, /8 bytes for FP32 \[1, 2\]; got 7/);
    refusedBytes([8, [1, 2], 'FP64'], new Uint8Array(8), 'invalid_request', SIZE, /16 bytes for FP64/);
    refusedBytes([-1], new Uint8Array(8), 'invalid_request', SIZE, />= 0/);
    const huge = 2 ** 52;
    refusedBytes([4 * huge, [huge], 'FP32'], new Uint8Array(8), 'malformed_body', SIZE, /only 8 are left/);
  });

  test('without the header that says where they begin', () => {
    refused(request(8), 'malformed_body', SIZE, /Inference-Header-Content-Length/);
  });

  test('behind a header that is longer than the body, or ends elsewhere', () => {
    const text = JSON.stringify({ inputs: [query] });
    expect(() => decode(text, { headerBytes: text.length + 1 })).toThrow(/at most the \d+ bytes of the body/);
    for (const headerBytes of [0, 1, text.length - 1]) {
      expect(() => decode(text, { headerBytes })).toThrow(Problem);
    }
    expect(() => decode(`${text} `, { headerBytes: text.length })).toThrow(/take 0 bytes.*got 1 more/);
  });

  test('with elements that cannot be used', () => {
    const bytes = (array: { buffer: ArrayBufferLike }) => new Uint8Array(array.buffer as ArrayBuffer);
    const at = '/inputs/0';
    refusedBytes(
      [8],
      bytes(Float32Array.of(1, Number.NaN)),
      'invalid_tensor',
      at,
      /finite.*\[0, 1\]; got NaN/,
    );
    refusedBytes([4, [1, 2], 'FP16'], bytes(Uint16Array.of(0, 0xfc00)), 'invalid_tensor', at, /-Infinity/);
    refusedBytes(
      [4, [1, 2], 'BF16'],
      bytes(Uint16Array.of(0x7fc0, 0)),
      'invalid_tensor',
      at,
      /\[0, 0\]; got NaN/,
    );
    refusedBytes([16, [1, 2], 'FP64'], bytes(Float64Array.of(1, 1e300)), 'invalid_tensor', at, /1e\+300/);
    refusedBytes(
      [8, [1], 'UINT64'],
      bytes(BigUint64Array.of(2n ** 64n - 1n)),
      'invalid_tensor',
      at,
      /18446744073709551615/,
    );
    const mask = { name: 'allow_mask', shape: [1, 2], datatype: 'BOOL', parameters: { binary_data_size: 2 } };
    const { body, headerBytes } = binaryBody({ inputs: [mask] }, 0, Uint8Array.of(1, 2));
    refused(body, 'invalid_tensor', at, /0 or 1.*got 2/, { headerBytes });
  });
});

describe('parameters', () => {
  const at = (name: string) => `/parameters/${name}`;

  test.each<[string, object, ProblemCode, string, RegExp]>([
    ['a sequence', { sequence_id: 3 }, 'invalid_request', at('sequence_id'), /only registered layers/],
    [
      'a sequence by name',
      { sequence_id: 'a' },
      'invalid_request',
      at('sequence_id'),
      /only registered layers/,
    ],
    [
      'the beginning of a sequence',
      { sequence_id: 0, sequence_start: true },
      'invalid_request',
      at('sequence_start'),
      /only registered layers/,
    ],
    ['a timeout in words', { timeout: '1s' }, 'invalid_request', at('timeout'), /microseconds.*"1s"/],
    [
      'a timeout in many words',
      { timeout: 's'.repeat(200_000) },
      'invalid_request',
      at('timeout'),
      /got "s{96}…" \(a string\)$/,
    ],
    [
      'binary_data_output in many words',
      { binary_data_output: 's'.repeat(200_000) },
      'invalid_request',
      at('binary_data_output'),
      /got "s{96}…" \(a string\)$/,
    ],
    ['a negative timeout', { timeout: -1 }, 'invalid_request', at('timeout'), /microseconds.*-1/],
    [
      'a form in words',
      { binary_data_output: 'yes' },
      'invalid_request',
      at('binary_data_output'),
      /true or false/,
    ],
    ['half an object', { return: '{"weights":' }, 'malformed_body', at('return'), /as JSON/],
    ['more than an object', { return: '{} {}' }, 'malformed_body', at('return'), /as JSON/],
    [
      'nesting without end',
      { return: `{"a":${'['.repeat(99)}${']'.repeat(99)}}` },
      'malformed_body',
      at('return'),
      /32 levels/,
    ],
    ['a prototype', { return: '{"__proto__":{}}' }, 'malformed_body', at('return'), /__proto__/],
    [
      'a prototype by points',
      { 'return.__proto__.a': true },
      'invalid_request',
      at('return.__proto__.a'),
      /__proto__/,
    ],
    [
      'one option twice',
      { 'rope.theta': 1, rope: '{"theta":2}' },
      'invalid_request',
      at('rope'),
      /another beside/,
    ],
    [
      'an option below a number',
      { rope: 1, 'rope.theta': 2 },
      'invalid_request',
      at('rope.theta'),
      /another beside/,
    ],
    ['a tensor', { key: '{"shape":[1],"data":[1]}' }, 'invalid_request', at('key'), /among the inputs/],
    [
      'a tensor in an object',
      { rope: '{"pairing":"half","cos":{"shape":[1]}}' },
      'invalid_request',
      at('rope.cos'),
      /among the inputs/,
    ],
    ['a tensor by points', { 'rope.cos.data': 1 }, 'invalid_request', at('rope.cos'), /among the inputs/],
    ['an array', { heads: [1] }, 'invalid_request', at('heads'), /got an array/],
  ])('%s', (_name, parameters, code, pointer, detail) => {
    refused(withParameters(parameters), code, pointer, detail);
  });
});

describe('outputs', () => {
  const at = '/outputs/0/name';

  test.each<[string, object, string, RegExp]>([
    ['an unknown one', withOutputs([{ name: 'outptu' }]), at, /did you mean "output"/],
    ['one of gradients', withOutputs([{ name: 'grad_key' }]), at, /an output among output, weights/],
    ['one twice', withOutputs([{ name: 'output' }, { name: 'output' }]), '/outputs/1/name', /once/],
    ['logits of no stage', withOutputs([{ name: 'logits' }]), at, /return\.logits.*"raw"/],
    ['the strongest of no number', withOutputs([{ name: 'weights.values' }]), at, /top_k/],
    [
      'a map of the strongest',
      withOutputs([{ name: 'weights' }], { return: '{"weights":{"top_k":1}}' }),
      at,
      /weights\.indices/,
    ],
    [
      'classification',
      withOutputs([{ name: 'output', parameters: { classification: 2 } }]),
      '/outputs/0/parameters/classification',
      /Unknown/,
    ],
    [
      'a form in words',
      withOutputs([{ name: 'output', parameters: { binary_data: 1 } }]),
      '/outputs/0/parameters/binary_data',
      /true or false/,
    ],
    ['no list', withOutputs('output'), '/outputs', /an array/],
  ])('%s', (_name, body, pointer, detail) => {
    refused(body, 'invalid_request', pointer, detail);
  });
});
