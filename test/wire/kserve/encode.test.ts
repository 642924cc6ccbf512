import { describe, expect, it, test } from 'vitest';
import type { Answer } from '../../../src/domain/answer.ts';
import { Problem } from '../../../src/domain/problem.ts';
import { encodeInference } from '../../../src/wire/kserve/encode.ts';
import type { InferenceResponse } from '../../../src/wire/kserve/inference.ts';
import { InferResult } from '../../support/triton.ts';

const ANSWER: Answer = {
  tensors: {
    output: { dtype: 'float32', shape: [2, 1], data: Float32Array.of(0.1, -2) },
    logits: { dtype: 'float64', shape: [2], data: Float64Array.of(Number.NEGATIVE_INFINITY, 1 / 3) },
    'weights.indices': { dtype: 'int32', shape: [1, 3], data: Int32Array.of(2, 0, 1) },
  },
  envelope: { empty_rows: 1, applied: { scale: 0.5, formula: 'softmax(QKᵀ/√2)·V' } },
};

const BASE: InferenceResponse = { model: 'm', version: '1', outputs: null, binary: false };

function encode(response: Partial<InferenceResponse>, answer = ANSWER) {
  const { bytes, headerBytes } = encodeInference(answer, {
    encoding: 'nested',
    inference: { ...BASE, ...response },
  });
  expect(bytes.buffer.byteLength).toBe(bytes.byteLength);
  const result = new InferResult(bytes, headerBytes === undefined ? undefined : String(headerBytes));
  return { bytes, headerBytes, result, text: Buffer.from(bytes).toString('utf8', 0, headerBytes) };
}

describe('an inference response', () => {
  it('is JSON, flat, with the shortest decimals of float32 and null for -Infinity', () => {
    const { text, headerBytes } = encode({ id: '42' });
    expect(headerBytes).toBeUndefined();
    expect(text).toBe(
      '{"model_name":"m","model_version":"1","id":"42",' +
        '"parameters":{"empty_rows":1,"applied":"{\\"scale\\":0.5,\\"formula\\":\\"softmax(QKᵀ/√2)·V\\"}"},"outputs":[' +
        '{"name":"output","datatype":"FP32","shape":[2,1],"data":[0.1,-2]},' +
        '{"name":"logits","datatype":"FP64","shape":[2],"data":[null,0.3333333333333333]},' +
        '{"name":"weights.indices","datatype":"INT32","shape":[1,3],"data":[2,0,1]}]}',
    );
  });

  it('leaves out what it has not', () => {
    expect(encode({ version: undefined }).text).toMatch(/^\{"model_name":"m","parameters"/);
    expect(encode({}).text).not.toContain('"id"');
  });

  it('is bytes behind JSON that is padded to a multiple of 8, whatever its length', () => {
    const remainders = new Set<number>();
    for (let letters = 0; letters < 8; letters++) {
      const { result, text, headerBytes, bytes } = encode({ binary: true, id: 'x'.repeat(letters) });
      expect((headerBytes as number) % 8).toBe(0);
      expect(text).toMatch(/^\{.*\} {0,7}$/);
      remainders.add(text.trimEnd().length % 8);
      expect(bytes.length).toBe((headerBytes as number) + 8 + 16 + 12);
      expect(result.asNumpy('output')).toEqual({ shape: [2, 1], values: [Math.fround(0.1), -2] });
      expect(result.asNumpy('logits').values).toEqual([Number.NEGATIVE_INFINITY, 1 / 3]);
      expect(result.asNumpy('weights.indices')).toEqual({ shape: [1, 3], values: [2, 0, 1] });
    }
    expect(remainders.size).toBe(8);
  });

  it('has the outputs that were asked for, each in its form and in their order', () => {
    const outputs = [
      { name: 'weights.indices', binary: true },
      { name: 'output', binary: false },
      { name: 'logits', binary: true },
    ];
    const { result, text } = encode({ outputs, binary: true });
    expect(result.response.outputs.map(({ name }) => name)).toEqual(['weights.indices', 'output', 'logits']);
    expect(text).toContain('"data":[0.1,-2]');
    expect(result.asNumpy('weights.indices').values).toEqual([2, 0, 1]);
    expect(result.asNumpy('output').values).toEqual([Math.fround(0.1), -2]);
    expect(result.asNumpy('logits').values).toEqual([Number.NEGATIVE_INFINITY, 1 / 3]);
  });

  it('of outputs that look into a larger memory holds their part of it', () => {
    const memory = Float32Array.of(9, 1, 2, 9);
    const output = { dtype: 'float32', shape: [2], data: memory.subarray(1, 3) } as const;
    for (const binary of [true, false]) {
      const { result } = encode({ binary }, { tensors: { output }, envelope: {} });
      expect(result.asNumpy('output').values).toEqual([1, 2]);
    }
  });

  it('may hold no element', () => {
    const output = { dtype: 'float32', shape: [0, 3], data: new Float32Array(0) } as const;
    const { result, headerBytes } = encode({ binary: true }, { tensors: { output }, envelope: {} });
    expect(headerBytes).toBeGreaterThan(0);
    expect(result.asNumpy('output')).toEqual({ shape: [0, 3], values: [] });
  });
});

test('an output that the call does not have is refused by name', () => {
  const outputs = [{ name: 'log_sum_exp', binary: true }];
  expect(() => encode({ outputs })).toThrow(Problem);
  expect(() => encode({ outputs })).toThrow(/output, logits, weights\.indices; got "log_sum_exp"/);
});

test.each([true, false])('NaN and Infinity leave in no form (binary: %s)', (binary) => {
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const output = { dtype: 'float32', shape: [1], data: Float32Array.of(value) } as const;
    expect(() => encode({ binary }, { tensors: { output }, envelope: {} })).toThrow(/Element 0/);
  }
});
