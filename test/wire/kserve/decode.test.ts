import { describe, expect, it, test } from 'vitest';
import { getInferenceRequest, type InferInput } from '../../support/triton.ts';
import { binaryBody, comparable, decode, decodeAsJson } from './helpers.ts';

const query = { name: 'query', shape: [1, 2], datatype: 'FP32', data: [1, 2] };
const key = { name: 'key', shape: [2, 2], datatype: 'FP32', data: [1, 0, 0, 2] };
const value = { name: 'value', shape: [2, 1], datatype: 'FP32', data: [4, 10] };
const inputs = [query, key, value];

const SAME = { query: [[1, 2]], key: [[1, 0], [0, 2]], value: [[4], [10]] }; // biome-ignore format: as a matrix

describe('an inference request', () => {
  it('is what JSON gives for the same call', () => {
    expect(comparable(decode({ inputs }))).toEqual(comparable(decodeAsJson(SAME)));
  });

  it('takes nested data, and members in any order', () => {
    const nested = [
      { data: [[1, 2]], datatype: 'FP32', shape: [1, 2], name: 'query' },
      { data: [[1, 0], [0, 2]], name: 'key', datatype: 'FP32', shape: [2, 2] }, // biome-ignore format: as a matrix
      { shape: [2, 1], data: [[4], [10]], name: 'value', datatype: 'FP32' },
    ];
    const text = JSON.stringify({ outputs: [], inputs: nested, id: '1' }, null, 2);
    expect(comparable(decode(text))).toEqual(comparable(decodeAsJson(SAME)));
  });

  it('names fields by their path or by their last name', () => {
    const operation = 'multi_head_attention';
    const tensor = (name: string) => ({ name, shape: [1, 1], datatype: 'FP32', data: [2] });
    const named = ['embeddings', 'projections.w_q', 'w_k', 'w_v'].map(tensor);
    const same = { embeddings: [[2]], projections: { w_q: [[2]], w_k: [[2]], w_v: [[2]] } };
    const decoded = decode({ inputs: named }, { operation });
    expect(Object.keys(decoded.tensors)).toEqual([
      'embeddings',
      'projections.w_q',
      'projections.w_k',
      'projections.w_v',
    ]);
    expect(comparable(decoded)).toEqual(comparable(decodeAsJson(same, operation)));
  });

  it('gives float64 calls their numbers in full', () => {
    const precise = { ...query, datatype: 'FP64', data: [0.1, 1e300] };
    const decoded = decode({ inputs: [precise, key, value], parameters: { precision: 'float64' } });
    expect(decoded.tensors.query.data).toEqual(Float64Array.of(0.1, 1e300));
    expect(decoded.tensors.key.data).toBeInstanceOf(Float64Array);
  });

  it('rounds every decimal once, as JSON does', () => {
    // Just above the middle between two float32s: the float64 nearest to it is the middle itself.
    const text = '1.00000005960464477539062500000000000000000001';
    const decoded = decode(`{"inputs":[{"name":"query","shape":[1],"datatype":"FP32","data":[${text}]}]}`);
    expect([...decoded.tensors.query.data]).toEqual([1 + 2 ** -23]);
  });

  it('says what its answer is to look like', () => {
    const outputs = [{ name: 'output' }, { name: 'weights', parameters: { binary_data: false } }];
    const decoded = decode({ id: 'a', inputs, outputs, parameters: { binary_data_output: true } });
    expect(decoded.reply).toEqual({
      inference: {
        model: 'model',
        version: '1',
        id: 'a',
        outputs: [
          { name: 'output', binary: true },
          { name: 'weights', binary: false },
        ],
        binary: true,
      },
    });
    expect(decode({ inputs }).reply).toEqual({
      inference: { model: 'model', version: '1', id: undefined, outputs: null, binary: false },
    });
  });

  it('passes the name of the model over, which its address has', () => {
    const decoded = decode({ model_name: 'other', model_version: '9', inputs });
    expect(decoded.reply?.inference).toMatchObject({ model: 'model', version: '1' });
  });

  it('keeps the last of two members of one name, as JSON.parse does', () => {
    const first = '"inputs":[{"name":"bias","shape":[1],"datatype":"FP32","data":[9]}]';
    const text = `{${first},"inputs":[{"name":"query","shape":[1],"datatype":"FP32","data":[7],"data":[8]}]}`;
    const { envelope, tensors } = decode(text);
    expect(envelope).toEqual({});
    expect(Object.keys(tensors)).toEqual(['query']);
    expect([...tensors.query.data]).toEqual([8]);
  });
});

describe('datatypes', () => {
  const MAX = Number.MAX_SAFE_INTEGER;
  /** Name, numpy array, the elements as they are held. */
  const ROWS: readonly (readonly [string, InferInput['array'], readonly number[]])[] = [
    ['FP32', Float32Array.of(0.1, -2.5e-40), [Math.fround(0.1), Math.fround(-2.5e-40)]],
    ['FP64', Float64Array.of(0.1, 3), [Math.fround(0.1), 3]],
    ['FP16', Float16Array.of(0.1, -65504), [Math.f16round(0.1), -65504]],
    ['BF16', Uint16Array.of(0x3f80, 0xc040), [1, -3]],
    ['INT8', Int8Array.of(-128, 127), [-128, 127]],
    ['INT16', Int16Array.of(-32768, 32767), [-32768, 32767]],
    ['INT32', Int32Array.of(-(2 ** 24), 2 ** 24), [-(2 ** 24), 2 ** 24]],
    ['INT64', BigInt64Array.of(-5n, 2n ** 24n), [-5, 2 ** 24]],
    ['UINT8', Uint8Array.of(0, 255), [0, 255]],
    ['UINT16', Uint16Array.of(0, 65535), [0, 65535]],
    ['UINT32', Uint32Array.of(0, 2 ** 24), [0, 2 ** 24]],
    ['UINT64', BigUint64Array.of(7n, 2n ** 24n), [7, 2 ** 24]],
  ];

  test.each(ROWS)('%s as bytes, wherever they begin', (datatype, array, elements) => {
    const input = { name: 'query', shape: [1, 2], datatype, array };
    for (let pad = 0; pad < 8; pad++) {
      const request = {
        inputs: [{ ...input, array: undefined, parameters: { binary_data_size: array.byteLength } }],
      };
      const { body, headerBytes } = binaryBody(request, pad, new Uint8Array(array.buffer as ArrayBuffer));
      const { tensors } = decode(body, { headerBytes });
      expect([...tensors.query.data]).toEqual(elements);
      expect(tensors.query.data.buffer).toBeInstanceOf(SharedArrayBuffer);
      expect(tensors.query.shape).toEqual([1, 2]);
    }
  });

  test.each(ROWS.filter(([name]) => name !== 'FP16' && name !== 'BF16'))(
    '%s as JSON of the Python client',
    (datatype, array, elements) => {
      const input = { name: 'query', shape: [2], datatype, array, binary: false };
      const { body, jsonSize } = getInferenceRequest([input]);
      expect(jsonSize).toBeNull();
      expect([...decode(body).tensors.query.data]).toEqual(elements);
    },
  );

  test('BOOL as bytes, as JSON of the Python client, and as 0 and 1', () => {
    const array = Uint8Array.of(1, 0, 0, 1);
    const mask = { name: 'allow_mask', shape: [2, 2], datatype: 'BOOL', array };
    for (const binary of [true, false]) {
      const { body, jsonSize } = getInferenceRequest([{ ...mask, binary }]);
      expect(body.includes('true,false')).toBe(!binary);
      expect([...decode(body, { headerBytes: jsonSize }).tensors.allow_mask.data]).toEqual([1, 0, 0, 1]);
    }
    const numbers = { name: 'allow_mask', shape: [2, 2], datatype: 'BOOL', data: [[1, 0], [false, true]] }; // biome-ignore format: as a matrix
    expect([...decode({ inputs: [numbers] }).tensors.allow_mask.data]).toEqual([1, 0, 0, 1]);
  });

  test('counts and positions are exact to 2^53', () => {
    for (const [datatype, array] of [
      ['INT64', BigInt64Array.of(BigInt(MAX), -BigInt(MAX))],
      ['UINT64', BigUint64Array.of(BigInt(MAX), 0n)],
    ] as const) {
      for (const binary of [true, false]) {
        const input = { name: 'key_lengths', shape: [2], datatype, array, binary };
        const { body, jsonSize } = getInferenceRequest([input]);
        const { data } = decode(body, { headerBytes: jsonSize }).tensors.key_lengths;
        expect([...data]).toEqual(Array.from(array, Number));
      }
    }
  });

  test('on shared memory, bytes at a multiple of their size are used as they are', () => {
    const elements = Float32Array.of(1, 2);
    const request = {
      inputs: [{ name: 'query', shape: [2], datatype: 'FP32', parameters: { binary_data_size: 8 } }],
    };
    const { length } = JSON.stringify(request);
    for (let pad = 0; pad < 4; pad++) {
      const { body, headerBytes } = binaryBody(request, pad, new Uint8Array(elements.buffer));
      const shared = new Uint8Array(new SharedArrayBuffer(body.length));
      shared.set(body);
      const { data } = decode(shared, { headerBytes }).tensors.query;
      expect([...data]).toEqual([1, 2]);
      expect(data.buffer === shared.buffer).toBe((length + pad) % 4 === 0);
    }
  });
});

describe('binary inputs', () => {
  it('stand behind the JSON in the order of inputs, with JSON ones between them', () => {
    const sent: InferInput[] = [
      { name: 'query', shape: [1, 2], datatype: 'FP32', array: Float32Array.of(1, 2) },
      { name: 'key', shape: [2, 2], datatype: 'FP64', array: Float64Array.of(1, 0, 0, 2), binary: false },
      { name: 'forbid_mask', shape: [1, 2], datatype: 'BOOL', array: Uint8Array.of(0, 1) },
      { name: 'value', shape: [2, 1], datatype: 'INT16', array: Int16Array.of(4, 10) },
    ];
    const { body, jsonSize } = getInferenceRequest(sent);
    const { tensors } = decode(body, { headerBytes: jsonSize });
    expect(Object.entries(tensors).map(([path, { data }]) => [path, [...data]])).toEqual([
      ['query', [1, 2]],
      ['key', [1, 0, 0, 2]],
      ['forbid_mask', [0, 1]],
      ['value', [4, 10]],
    ]);
  });

  it('may be empty', () => {
    const { body, jsonSize } = getInferenceRequest([
      { name: 'key', shape: [0, 2], datatype: 'FP32', array: new Float32Array(0) },
    ]);
    expect(decode(body, { headerBytes: jsonSize }).tensors.key).toMatchObject({ shape: [0, 2] });
  });

  it('need no bytes where all inputs are JSON, and the header may still be there', () => {
    const text = JSON.stringify({ inputs });
    expect(comparable(decode(text, { headerBytes: text.length }))).toEqual(comparable(decodeAsJson(SAME)));
  });
});

describe('parameters', () => {
  const read = (parameters: object) => decode({ inputs, parameters }).envelope;

  it('are options, flat ones as they are and objects as JSON strings', () => {
    const options = {
      heads: 2,
      kv_heads: 1,
      scale: 0.5,
      causal: 'lower_right',
      window: '{"left": 3, "right": null}',
      rope: ' {"pairing":"half"}',
      return: '{"weights":{"top_k":1}}',
    };
    expect(read(options)).toEqual({
      heads: 2,
      kv_heads: 1,
      scale: 0.5,
      causal: 'lower_right',
      window: { left: 3, right: null },
      rope: { pairing: 'half' },
      return: { weights: { top_k: 1 } },
    });
    expect(read({ causal: true })).toEqual({ causal: true });
    expect(read({ causal: '{"offset":1}' })).toEqual({ causal: { offset: 1 } });
  });

  it('may be objects, and names with points that lead into them', () => {
    expect(read({ return: { kv: true }, 'return.log_sum_exp': true, 'rope.pairing': 'half' })).toEqual({
      return: { kv: true, log_sum_exp: true },
      rope: { pairing: 'half' },
    });
    expect(read({ 'return.kv': true, return: '{"log_sum_exp":true}' })).toEqual({
      return: { kv: true, log_sum_exp: true },
    });
  });

  it('that the protocol keeps for itself are no options', () => {
    const reserved = {
      priority: 1,
      headers: { a: 'b' },
      triton_enable_empty_final_response: true,
      binary_data_output: true,
      sequence_id: 0,
      sequence_start: false,
      sequence_end: false,
      timeout: 1500,
    };
    const decoded = decode({ inputs, parameters: reserved });
    expect(decoded.envelope).toEqual({});
    expect(decoded.timeoutMs).toBe(1.5);
    expect(decode({ inputs, parameters: { timeout: 0 } }).timeoutMs).toBeUndefined();
  });
});

describe('outputs', () => {
  const returned = (names: string[], parameters: object = {}) =>
    decode({ inputs, parameters, outputs: names.map((name) => ({ name })) }).envelope.return;

  it('switch on what has them computed', () => {
    expect(returned(['output'])).toBeUndefined();
    expect(returned(['weights'])).toEqual({ weights: true });
    expect(returned(['log_sum_exp', 'output'])).toEqual({ log_sum_exp: true });
    expect(returned(['present_value'])).toEqual({ kv: true });
    expect(returned(['weights', 'log_sum_exp'], { return: '{"weights":false}' })).toEqual({
      weights: true,
      log_sum_exp: true,
    });
  });

  it('leave what return says as it is', () => {
    expect(returned(['weights'], { return: '{"weights":{"reduce":"mean"},"kv":true}' })).toEqual({
      weights: { reduce: 'mean' },
      kv: true,
    });
    const topK = { return: '{"weights":{"top_k":2}}' };
    expect(returned(['weights.values'], topK)).toEqual({ weights: { top_k: 2 } });
    expect(returned(['logits'], { 'return.logits': 'raw' })).toEqual({ logits: 'raw' });
  });
});
