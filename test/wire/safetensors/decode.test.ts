import { describe, expect, test } from 'vitest';
import type { TensorFields } from '../../../src/contract/schemas/tensor.ts';
import { DEFAULT_LIMITS, type Limits } from '../../../src/domain/limits.ts';
import { graft } from '../../../src/wire/graft.ts';
import { decodeSafetensors } from '../../../src/wire/safetensors/decode.ts';
import { bytesOf, f32, type Part, pack, shared } from '../../support/safetensors.ts';
import { FIELDS, refused } from '../json/helpers.ts';

function decode(
  parts: Readonly<Record<string, Part>>,
  request?: object | string,
  limits: Partial<Limits> = {},
  metadata: Record<string, string> = {},
) {
  const text = typeof request === 'object' ? JSON.stringify(request) : request;
  const file = shared(pack(parts, { ...(text === undefined ? {} : { request: text }), ...metadata }));
  return { file, ...decodeSafetensors(file, { fields: FIELDS, limits: { ...DEFAULT_LIMITS, ...limits } }) };
}

const part = (dtype: string, shape: readonly number[], data: ArrayBufferView): Part => ({
  dtype,
  shape,
  bytes: bytesOf(data),
});

describe('decoding safetensors', () => {
  test('gives tensors by their paths, and the rest of the body', () => {
    const { tensors, envelope } = decode(
      {
        query: f32([2, 1], [1, -0]),
        'projections.w_q': f32([1, 2], [3, 4]),
        'rope.positions': part('I64', [2], BigInt64Array.of(5n, -(2n ** 53n) + 1n)),
        key_lengths: part('I32', [1], Int32Array.of(-7)),
        allow_mask: part('BOOL', [1, 3], Uint8Array.of(1, 0, 1)),
      },
      { rope: { pairing: 'half' }, projections: { packed_order: 'qkv' }, causal: { offset: 1 } },
    );
    expect(envelope).toEqual({
      rope: { pairing: 'half' },
      projections: { packed_order: 'qkv' },
      causal: { offset: 1 },
    });
    expect(tensors).toEqual({
      query: { dtype: 'float32', shape: [2, 1], data: Float32Array.of(1, -0) },
      'projections.w_q': { dtype: 'float32', shape: [1, 2], data: Float32Array.of(3, 4) },
      'rope.positions': { dtype: 'int64', shape: [2], data: Float64Array.of(5, -(2 ** 53) + 1) },
      key_lengths: { dtype: 'int32', shape: [1], data: Float64Array.of(-7) },
      allow_mask: { dtype: 'bool', shape: [1, 3], data: Uint8Array.of(1, 0, 1) },
    });
    expect(graft(envelope, tensors)).toMatchObject({ rope: { pairing: 'half', positions: { shape: [2] } } });
  });

  test('without a request has no options', () => {
    expect(decode({ query: f32([1], [1]) }).envelope).toEqual({});
    expect(decode({}, undefined, {}, { format: 'pt' })).toMatchObject({ envelope: {}, tensors: {} });
  });

  test('leaves float32 where it lies in the body, unless it is not aligned there', () => {
    const name = (padding: number) => 'x'.repeat(padding);
    for (let padding = 0; padding < 4; padding++) {
      const { file, tensors } = decode({ query: f32([3], [1, 2, 3]) }, {}, {}, { note: name(padding) });
      const { data } = tensors.query;
      const start = file.length - 12;
      expect(data.buffer === file.buffer).toBe(start % 4 === 0);
      expect(data.buffer).toBeInstanceOf(SharedArrayBuffer);
      expect([...data]).toEqual([1, 2, 3]);
      if (start % 4 === 0) expect(data.byteOffset).toBe(start);
    }
  });

  test('puts the tensors of a body that is not on shared memory there', () => {
    const file = pack({ query: f32([1], [1]), allow_mask: part('BOOL', [1], Uint8Array.of(1)) });
    const { tensors } = decodeSafetensors(file, { fields: FIELDS, limits: DEFAULT_LIMITS });
    for (const { data } of Object.values(tensors)) expect(data.buffer).toBeInstanceOf(SharedArrayBuffer);
  });

  test.each([
    ['F16', Float16Array.of(0.1, -65504), [Math.f16round(0.1), -65504]],
    ['BF16', Uint16Array.of(0x3f80, 0xff7f), [1, -3.3895313892515355e38]],
    ['F64', Float64Array.of(0.1, 1e-50), [Math.fround(0.1), 0]],
    ['I32', Int32Array.of(2 ** 31 - 1, -1), [2 ** 31, -1]],
    ['I64', BigInt64Array.of(2n ** 53n - 1n, -1n), [2 ** 53, -1]],
  ])('reads %s in float32', (dtype, data, expected) => {
    const { query } = decode({ query: part(dtype, [2], data) }).tensors;
    expect(query.data).toEqual(Float32Array.from(expected));
  });

  test('keeps float64 in a call of precision float64, and widens the rest', () => {
    const wide = Float64Array.of(0.1, 1e300);
    const { tensors } = decode(
      { query: part('F64', [2], wide), bias: f32([1], [0.1]) },
      { precision: 'float64' },
    );
    expect(tensors.query.data).toEqual(wide);
    expect(tensors.bias.data).toEqual(Float64Array.of(Math.fround(0.1)));
  });

  test('takes a tensor inside the request, as the JSON format reads it', () => {
    const { tensors, envelope } = decode(
      { query: f32([1, 1], [1]) },
      {
        allow_mask: [[true]],
        rope: { positions: [3] },
        projections: { w_q: { shape: [1], data: 'AACAPw==' } },
      },
    );
    expect(tensors.allow_mask).toEqual({ dtype: 'bool', shape: [1, 1], data: Uint8Array.of(1) });
    expect(tensors['rope.positions'].data).toEqual(Float64Array.of(3));
    expect(tensors['projections.w_q'].data).toEqual(Float32Array.of(1));
    expect(envelope).toEqual({ rope: {}, projections: {} });
  });

  test('keeps the last of two members of the request, as JSON.parse does', () => {
    expect(decode({}, '{"causal":true,"causal":"none"}').envelope).toEqual({ causal: 'none' });
  });
});

describe('what cannot be used is refused, in words', () => {
  const one = f32([1], [1]);

  test.each<[string, Record<string, Part>, string, string | RegExp]>([
    ['an unknown tensor', { qeury: one }, '/qeury', 'Unknown tensor "qeury"; did you mean "query"?'],
    [
      'an unknown projection',
      { 'projections.w_k': one },
      '/projections/w_k',
      'did you mean "projections.w_q"?',
    ],
    [
      'a tensor below a tensor',
      { query: one, 'query.data': one },
      '/query/data',
      'Unknown tensor "query.data"',
    ],
    [
      'an option as a tensor',
      { causal: one },
      '/causal',
      /Unknown tensor "causal"; the tensors are query, bias, /,
    ],
    ['no name', { '': one }, '/', 'Unknown tensor ""'],
    ['a name with slashes', { 'a/b~.c': one }, '/a~1b~0/c', 'Unknown tensor "a/b~.c"'],
  ])('%s', (_what, parts, pointer, detail) => {
    refused(() => decode(parts), 'invalid_request', pointer, detail);
  });

  test('a tensor where there is one, or none at all', () => {
    const file = pack({ bias: one });
    const read = (fields: TensorFields) => () => decodeSafetensors(file, { fields, limits: DEFAULT_LIMITS });
    const detail = (known: string) => new RegExp(`^Unknown tensor "bias"; ${known}\\.$`);
    refused(
      read({ embeddings: 'real' }),
      'invalid_request',
      '/bias',
      detail('the only tensor is embeddings'),
    );
    refused(read({}), 'invalid_request', '/bias', detail('there are no tensors here'));
  });

  test.each<[string, Part, string]>([
    ['a scalar', f32([], [1]), 'Expected 1 to 4 sizes; got 0'],
    ['rank 5', f32([1, 1, 1, 1, 1], [1]), 'Expected 1 to 4 sizes; got 5'],
    ['NaN', f32([2, 2], [1, 2, Number.NaN, 3]), 'Expected a finite number at index [1, 0]; got NaN'],
    ['-Infinity', f32([1], [Number.NEGATIVE_INFINITY]), 'at index [0]; got -Infinity'],
    ['an infinite float16', part('F16', [1], Uint16Array.of(0x7c00)), 'got Infinity'],
    ['a NaN in bfloat16', part('BF16', [1], Uint16Array.of(0xffff)), 'got NaN'],
    ['an infinite float64', part('F64', [2], Float64Array.of(0, 1 / 0)), 'at index [1]; got Infinity'],
    [
      'a float64 beyond float32',
      part('F64', [1], Float64Array.of(1e39)),
      'at most 3.4028235e+38 (float32) at index [0]; got 1e+39',
    ],
    ['an int64 beyond 2^53', part('I64', [1], BigInt64Array.of(2n ** 53n)), 'got 9007199254740992'],
    [
      'unsigned bytes',
      part('U8', [1], Uint8Array.of(1)),
      'Expected a dtype among F64, F32, F16, BF16, I64, I32; got U8',
    ],
    ['complex numbers', part('C64', [1], Float32Array.of(1, 0)), 'got C64'],
    ['a mask for numbers', part('BOOL', [1], Uint8Array.of(1)), 'got BOOL. A mask goes in `allow_mask`'],
  ])('%s', (_what, query, detail) => {
    refused(() => decode({ query }), 'invalid_tensor', '/query', detail);
  });

  test('-Infinity in a bias, with what forbids keys', () => {
    const bias = f32([1, 2], [0, Number.NEGATIVE_INFINITY]);
    const detail =
      'Expected a finite number at index [0, 1]; got -Infinity. Keys are forbidden by `allow_mask`, `forbid_mask`, ' +
      '`key_valid` or `key_lengths`; a bias adds finite numbers.';
    const { errors } = refused(() => decode({ bias }), 'invalid_tensor', '/bias', detail);
    expect(errors[0].detail).toBe(detail);
    const others = [{ query: bias }, { bias: f32([1], [Number.NaN]) }, { bias: f32([1], [1 / 0]) }];
    for (const parts of others) {
      expect(() => decode(parts)).toThrow(/got (?:-Infinity|NaN|Infinity)$/);
    }
  });

  test.each<[string, Part, string]>([
    [
      'numbers for a mask',
      f32([1, 1], [0]),
      'Expected dtype BOOL; got F32. Numbers here could be meant as an additive bias',
    ],
    ['unsigned bytes for a mask', part('U8', [1, 1], Uint8Array.of(1)), 'Expected dtype BOOL; got U8'],
    [
      'a bool that is neither',
      part('BOOL', [1, 2], Uint8Array.of(1, 2)),
      'Expected 0 or 1 at index [0, 1]; got 2',
    ],
  ])('%s', (_what, allow_mask, detail) => {
    refused(() => decode({ allow_mask }), 'invalid_tensor', '/allow_mask', detail);
  });

  test('a tensor that is in the request too', () => {
    refused(
      () => decode({ 'projections.w_q': one }, { projections: { w_q: [1] } }),
      'invalid_request',
      '/projections/w_q',
      'Expected one value for this field; got a tensor and, in __metadata__.request, another',
    );
  });

  test('a request of another name, but not the notes of a caller', () => {
    const named = (name: string) => () =>
      decode({ query: one }, undefined, {}, { [name]: '{"causal":true}' });
    const detail = 'Expected the rest of the body as __metadata__.request; got "Request"';
    refused(named('Request'), 'invalid_request', '/__metadata__/Request', detail);
    refused(named('requests'), 'invalid_request', '/__metadata__/requests', 'got "requests"');
    expect(named('made_by')().envelope).toEqual({});
  });

  test.each<[string, string, string, string]>([
    ['a request that is not JSON', '{"causal":tru}', '/causal', 'Expected true; got'],
    ['an array', '[]', '', "Expected a JSON object; got '['"],
    ['an empty text', '', '', 'Expected a JSON object; got the end of the body at byte 0'],
    ['a forbidden name', '{"__proto__":{}}', '/__proto__', 'got __proto__'],
    ['deep nesting', `${'{"a":'.repeat(40)}1${'}'.repeat(40)}`, '/a/a', 'at most 32 levels of nesting'],
  ])('%s', (_what, request, pointer, detail) => {
    const problem = refused(() => decode({}, request), 'malformed_body', pointer, detail);
    expect(problem.message).toMatch(/^__metadata__\.request: /);
  });

  test('a header larger than an envelope may be', () => {
    const request = { note: 'n'.repeat(1000) };
    const detail = /a header of at most 500 bytes; its first 8 bytes say 1\d\d\d$/;
    refused(() => decode({}, request, { envelopeBytes: 500 }), 'malformed_body', '', detail);
  });
});
