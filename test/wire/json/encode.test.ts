import { describe, expect, test } from 'vitest';
import { encodeJson } from '../../../src/wire/json/encode.ts';
import { encode, float32 } from './helpers.ts';

describe('the object', () => {
  const one = float32([1], [1]);

  test('tensors come first, in their order; dotted names are members of objects', () => {
    const tensors = { output: one, 'weights.indices': one, 'weights.values': one, a: one };
    expect(encode(tensors, 'nested', { empty_rows: 0, applied: { kernel: 'x', scale: null } })).toBe(
      '{"output":[1],"weights":{"indices":[1],"values":[1]},"a":[1],"empty_rows":0,"applied":{"kernel":"x","scale":null}}',
    );
    expect(encode({}, 'nested', {})).toBe('{}');
  });

  test('members of the envelope join the tensors of the same object', () => {
    expect(encode({ 'weights.values': one }, 'nested', { weights: { top_k: 1 } })).toBe(
      '{"weights":{"values":[1],"top_k":1}}',
    );
    expect(() => encode({ weights: one }, 'nested', { weights: 1 })).toThrow('twice');
    expect(() => encode({ 'weights.a': one }, 'nested', { weights: { a: 1 } })).toThrow('twice');
    expect(() => encode({ weights: one, 'weights.a': one })).toThrow();
    expect(() => encode({ 'weights.a': one, weights: one })).toThrow('twice');
  });

  test('is UTF-8 in an ArrayBuffer of its own, from end to end', () => {
    const bytes = encodeJson(
      { tensors: { output: one }, envelope: { formula: 'QKᵀ/√d “😀”' } },
      { encoding: 'nested' },
    );
    expect(bytes.byteOffset).toBe(0);
    expect(bytes.buffer.byteLength).toBe(bytes.length);
    expect(JSON.parse(new TextDecoder().decode(bytes))).toEqual({ output: [1], formula: 'QKᵀ/√d “😀”' });
    const moved = structuredClone(bytes, { transfer: [bytes.buffer as ArrayBuffer] });
    expect(moved.length).toBeGreaterThan(0);
    expect(bytes.length).toBe(0);
  });
});

describe('shapes', () => {
  test.each([
    [[0], '[]'],
    [[2, 0], '[[],[]]'],
    [[0, 2], '[]'],
    [[1, 2, 0], '[[[],[]]]'],
    [[4], '[0,1,2,3]'],
    [[2, 2], '[[0,1],[2,3]]'],
    [[1, 2, 1, 2], '[[[[0,1]],[[2,3]]]]'],
    [[4, 1], '[[0],[1],[2],[3]]'],
    [[], '0'],
  ])('%j', (shape, text) => {
    const count = shape.reduce((product, size) => product * size, 1);
    const tensor = float32(
      shape,
      Array.from({ length: count }, (_, index) => index),
    );
    expect(encode({ x: tensor })).toBe(`{"x":${text}}`);
    expect(JSON.parse(encode({ x: tensor }, 'flat')).x).toEqual({
      dtype: 'float32',
      shape,
      data: [...tensor.data],
    });
  });

  test('more numbers than one batch', () => {
    const data = Array.from({ length: 5000 }, (_, index) => index - 2500);
    expect(JSON.parse(encode({ x: float32([5000], data) })).x).toEqual(data);
    expect(JSON.parse(encode({ x: float32([5000], data) }, 'flat')).x.data).toEqual(data);
  });

  test('data that does not fill the shape is an error of ours', () => {
    expect(() => encode({ x: float32([3], [1, 2]) })).toThrow('shape [3] has 2 elements');
  });
});

describe('encodings', () => {
  test('flat', () => {
    expect(encode({ x: float32([2, 1], [0.1, Number.NEGATIVE_INFINITY]) }, 'flat')).toBe(
      '{"x":{"dtype":"float32","shape":[2,1],"data":[0.1,null]}}',
    );
  });

  test('base64 holds the little-endian bytes, of a view too', () => {
    const data = Float32Array.of(9, 1, -0, Number.NEGATIVE_INFINITY, 9).subarray(1, 4);
    const text = encode({ x: { dtype: 'float32', shape: [3], data } }, 'base64');
    expect(text).toBe('{"x":{"dtype":"float32","shape":[3],"data":"AACAPwAAAIAAAID/"}}');
  });

  test('float64 as JavaScript writes it, int32 plainly', () => {
    const values = [
      0.1,
      1e21,
      1e-7,
      -0,
      5e-324,
      -1.7976931348623157e308,
      123456789.125,
      1e20,
      Number.NEGATIVE_INFINITY,
    ];
    const float64 = { dtype: 'float64', shape: [values.length], data: Float64Array.from(values) } as const;
    expect(encode({ x: float64 })).toBe(`{"x":${JSON.stringify(values)}}`);
    const integers = [0, -1, 10, 2147483647, -2147483648];
    const int32 = { dtype: 'int32', shape: [5], data: Int32Array.from(integers) } as const;
    expect(encode({ x: int32 })).toBe(`{"x":${JSON.stringify(integers)}}`);
    const base64 = JSON.parse(encode({ x: int32 }, 'base64')).x;
    expect(base64.dtype).toBe('int32');
    expect([...new Int32Array(Uint8Array.from(Buffer.from(base64.data, 'base64')).buffer)]).toEqual(integers);
  });

  test.each(['nested', 'flat', 'base64'] as const)('NaN and Infinity never leave as %s', (encoding) => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const wide = { dtype: 'float64', shape: [1], data: Float64Array.of(value) } as const;
      expect(() => encode({ x: float32([2], [1, value]) }, encoding)).toThrow(
        `Element 1 of a result is ${value}`,
      );
      expect(() => encode({ x: wide }, encoding)).toThrow(`Element 0 of a result is ${value}`);
    }
    // What was written before the error is gone.
    expect(encode({ x: float32([1], [1]) })).toBe('{"x":[1]}');
  });
});
