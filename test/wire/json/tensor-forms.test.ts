import { describe, expect, test } from 'vitest';
import { OPERATIONS } from '../../../src/contract/operations.ts';
import { shapeOfField } from '../../../src/contract/schemas/field-shapes.ts';
import type { Tensor } from '../../../src/domain/tensor.ts';
import { LAYER_FIELDS } from '../../../src/wire/layer-file.ts';
import { decode, decodeTensor, plain, refused } from './helpers.ts';

const base64 = (data: { buffer: ArrayBufferLike }) =>
  Buffer.from(data.buffer as ArrayBuffer).toString('base64');
const object = (dtype: string, shape: string, data: string) =>
  `{"dtype":"${dtype}","shape":${shape},"data":${data}}`;

function invalid(value: string, pointer: string, detail: string | RegExp, path = 'query'): void {
  refused(() => decodeTensor(value, path), 'invalid_tensor', pointer, detail);
}

function malformed(value: string, pointer: string, detail: string | RegExp): void {
  refused(() => decodeTensor(value), 'malformed_body', pointer, detail);
}

function expectShared(tensor: Tensor): void {
  expect(tensor.data.buffer).toBeInstanceOf(SharedArrayBuffer);
  expect(tensor.data.buffer.byteLength).toBe(tensor.data.byteLength);
}

describe('nested arrays', () => {
  test.each([
    ['[1, 2, 3]', [3], [1, 2, 3]],
    ['[[1,2],[3,4],[5,6]]', [3, 2], [1, 2, 3, 4, 5, 6]],
    [' [ [ [ 1 ] , [ 2 ] ] ] ', [1, 2, 1], [1, 2]],
    ['[[[[1.5,-2e-1]]]]', [1, 1, 1, 2], [1.5, Math.fround(-0.2)]],
    ['[\n\t1\r\n,\t2 ,3\n]', [3], [1, 2, 3]],
    ['[]', [0], []],
    ['[[]]', [1, 0], []],
    ['[[ ],[]]', [2, 0], []],
    ['[[[],[]],[[],[]],[[],[]]]', [3, 2, 0], []],
  ])('%s', (text, shape, data) => {
    const tensor = decodeTensor(text);
    expect(tensor.dtype).toBe('float32');
    expect(tensor.data).toBeInstanceOf(Float32Array);
    expect(plain(tensor)).toEqual({ shape, data });
    expectShared(tensor);
  });

  test('more elements than the scratch memory has at first, twice over', () => {
    for (const count of [100_003, 20_000]) {
      const values = Array.from({ length: count }, (_, index) => index);
      expect(plain(decodeTensor(JSON.stringify(values)))).toEqual({ shape: [count], data: values });
      expect([...decodeTensor(JSON.stringify(values), 'key_lengths').data]).toEqual(values);
    }
  });

  test('-0 stays -0', () => {
    expect([...decodeTensor('[-0, 0, -0.0e9, -1e-60]').data]).toEqual([-0, 0, -0, -0]);
  });

  test('masks', () => {
    const tensor = decodeTensor('[[true,false],[ false , true ]]', 'allow_mask');
    expect(tensor.dtype).toBe('bool');
    expect(tensor.data).toBeInstanceOf(Uint8Array);
    expect(plain(tensor)).toEqual({ shape: [2, 2], data: [1, 0, 0, 1] });
    expectShared(tensor);
  });

  test('counts and positions are exact', () => {
    const tensor = decodeTensor('[[0,9007199254740991,16777217]]', 'rope.positions');
    expect(tensor.data).toBeInstanceOf(Float64Array);
    expect(plain(tensor)).toEqual({ shape: [1, 3], data: [0, 9007199254740991, 16777217] });
    expectShared(tensor);
  });

  test('are float32 in a float64 call too, whichever comes first', () => {
    for (const body of ['{"query":[0.1],"precision":"float64"}', '{"precision":"float64","query":[0.1]}']) {
      const { tensors } = decode(body);
      expect(tensors.query.data).toBeInstanceOf(Float64Array);
      expect([...tensors.query.data]).toEqual([Math.fround(0.1)]);
      expectShared(tensors.query);
    }
  });

  test('ragged ones are refused with the place and both lengths', () => {
    invalid('[[1,2],[3]]', '/query/1', 'Expected 2 entries at index [1], as in the arrays before it; got 1');
    invalid('[[1],[3,4]]', '/query/1', 'Expected 1 entries at index [1], as in the arrays before it; got 2');
    invalid('[[[1],[2]],[[3]]]', '/query/1', /Expected 2 entries at index \[1\].* got 1/);
    invalid('[[[1],[2]],[[3],[]]]', '/query/1/1', /Expected 1 entries at index \[1, 1\].* got 0/);
    invalid('[[[1]],[]]', '/query/1', /Expected 1 entries at index \[1\].* got 0/);
    invalid('[[],[1]]', '/query/1', /Expected 0 entries at index \[1\].* got 1/);
  });

  test('numbers and arrays side by side are refused', () => {
    invalid('[1,[2]]', '/query/1', 'Expected a number at index [1]; got an array');
    invalid('[[1],2]', '/query/1', 'Expected an array at index [1]; got 2');
    invalid('[[1],"x"]', '/query/1', 'Expected an array at index [1]; got a string');
    invalid('[[],[[]]]', '/query/1/0', 'Expected a number at index [1, 0]; got an array');
  });

  test('nesting deeper than rank 4 is refused', () => {
    invalid('[[[[[1]]]]]', '/query', 'Expected arrays nested at most 4 deep; got 5');
    invalid('[[[[[[[1]]]]]]]', '/query', 'got 7');
    malformed(`${'['.repeat(800_000)}`, '/query', 'levels of nesting');
  });
});

describe('what is not a number', () => {
  test.each([
    ['"1"', 'a string'],
    ['null', 'null'],
    ['{}', 'an object'],
    ['NaN', 'NaN'],
    ['Infinity', 'Infinity'],
    ['-Infinity', '-Infinity'],
    ['true', 'true'],
  ])('%s is named with its index', (element, got) => {
    invalid(`[[1,2],[${element},3]]`, '/query/1/0', `Expected a number at index [1, 0]; got ${got}`);
    const flat = object('float32', '[2,2]', `[1,2,${element},3]`);
    invalid(flat, '/bias/data/2', `Expected a number at index [1, 0]; got ${got}`, 'bias');
    invalid(`[0, ${element} ]`, '/rope/positions/1', `at index [1]; got ${got}`, 'rope.positions');
  });

  test.each([
    'nan',
    'inf',
    '+1',
    '.5',
    '1.',
    '01',
    '-',
    '- 1',
    '1e',
    '1e+',
    '0x10',
    '1_0',
    '00',
    '-01',
    '1.e5',
    'undefined',
    'nul',
    '1a',
    'NaNs',
    '--1',
    '٣',
  ])('%s is no JSON', (element) => {
    malformed(`[[1,2],[${element}, 3]]`, '/query/1/0', 'Expected');
    refused(
      () => decodeTensor(`[0,${element}]`, 'key_lengths'),
      'malformed_body',
      '/key_lengths/1',
      'Expected',
    );
  });

  test.each(['[1,]', '[,1]', '[1,,2]', '[[1],]', '[1 2]', '[1}', '[1,2', '[[1,2]', '[[1][2]]', '[[1];[2]]'])(
    '%s is no JSON',
    (text) => {
      refused(() => decodeTensor(text), 'malformed_body', /^\/query/, 'Expected');
    },
  );

  test('true and false in numbers, and numbers in a mask, are explained', () => {
    invalid('[true]', '/query/0', '`allow_mask`');
    invalid('[[0,1]]', '/allow_mask/0/0', /additive bias, which goes in `bias`/, 'allow_mask');
    invalid('[0.5]', '/allow_mask/0', /Expected true or false at index \[0\]; got 0.5/, 'allow_mask');
    invalid('[null]', '/allow_mask/0', 'got null', 'allow_mask');
    invalid('[true,NaN]', '/allow_mask/1', 'got NaN', 'allow_mask');
    refused(
      () => decodeTensor('[tru]', 'allow_mask'),
      'malformed_body',
      '/allow_mask/0',
      'Expected true or false',
    );
    refused(() => decodeTensor('[truefalse]', 'allow_mask'), 'malformed_body', '/allow_mask/0', "','");
  });

  test('-Infinity in a bias, and the null that is made of it, are answered with what forbids keys', () => {
    const bytes = base64(Float32Array.of(0, Number.NEGATIVE_INFINITY));
    for (const [value, pointer, got] of [
      ['[[0,-Infinity]]', '/bias/0/1', '-Infinity'],
      ['[[0,null]]', '/bias/0/1', 'null'],
      [object('float32', '[1,2]', '[0,null]'), '/bias/data/1', 'null'],
      [object('float32', '[1,2]', `"${bytes}"`), '/bias/data', '-Infinity'],
    ]) {
      const detail = new RegExp(`at index \\[0, 1\\]; got ${got}\\. Keys are forbidden by \`allow_mask\``);
      invalid(value, pointer, detail, 'bias');
    }
    for (const [value, path] of [
      ['[[0,-Infinity]]', 'query'],
      ['[[0,NaN]]', 'bias'],
      ['[[0,"a"]]', 'bias'],
    ]) {
      expect(() => decodeTensor(value, path)).toThrow(/; got [^.]+\.?$/);
    }
  });

  test('the shape of every field of every operation and layer is known', () => {
    const fields = [...OPERATIONS, { fields: LAYER_FIELDS }].flatMap((one) => Object.keys(one.fields));
    expect(fields.filter((field) => shapeOfField(field) === undefined)).toEqual([]);
  });

  test('a value that is no tensor at all', () => {
    const forms = (elements: string) => `Expected nested arrays of ${elements} or {"dtype", "shape", "data"}`;
    const shapes = '[B, H, L, d], [B, L, H·d] or [L, H·d]';
    invalid('5', '/query', `${forms('numbers')}, of shape ${shapes}; got the number 5`);
    const counts = '[B], one count for each sample';
    invalid('2', '/key_lengths', `${forms('numbers')}, of shape ${counts}; got the number 2`, 'key_lengths');
    const logits = '[L, S] or [B|1, H|1, L|1, S]';
    invalid('-1.5', '/bias', `${forms('numbers')}, of shape ${logits}; got the number -1.5`, 'bias');
    const mask = `${forms('true and false')}, of shape ${logits}; got true`;
    invalid('true', '/allow_mask', mask, 'allow_mask');
    const positions = `${forms('numbers')}, of shape [B, L]; got the number 0`;
    invalid('0', '/rope/positions', positions, 'rope.positions');
    invalid('null', '/query', 'got null');
    invalid('"AAAA"', '/query', 'got a string');
    invalid('false', '/projections/w_q', 'got false', 'projections.w_q');
    malformed('wat', '/query', "got 'w'");
  });
});

describe('too large a number', () => {
  test('for float32: float64 is suggested', () => {
    invalid('[[1,1e39]]', '/query/0/1', /at index \[0, 1\]; got 1e39\..*float64 with precision "float64"/);
    invalid('[-1e39]', '/query/0', 'got -1e39');
    invalid('[1e999]', '/query/0', 'got 1e999');
    invalid('[340282356779733661637539395458142568448]', '/query/0', '3.4028235e+38');
    expect([...decodeTensor('[340282356779733661637539395458142568447]').data]).toEqual([
      2 ** 128 - 2 ** 104,
    ]);
  });

  test('for the narrower ones, and for float64', () => {
    invalid(object('float16', '[2]', '[65519.9,65520]'), '/query/data/1', /65504 \(float16\) at index \[1\]/);
    invalid(object('bfloat16', '[1]', '[3.4e38]'), '/query/data/0', 'bfloat16');
    invalid(object('float64', '[1]', '[1e309]'), '/query/data/0', 'float64');
  });

  test('a float64 in a float32 call', () => {
    invalid(object('float64', '[2,1]', '[1,1e39]'), '/query/data/1', /at index \[1, 0\]; got 1e\+39/);
    const encoded = object('float64', '[2,1]', `"${base64(Float64Array.of(1, -1e39))}"`);
    invalid(encoded, '/query/data', /at index \[1, 0\]; got -1e\+39/);
    const wide = decodeTensor(object('float64', '[1]', '[1e39]'), 'query', ',"precision":"float64"');
    expect([...wide.data]).toEqual([1e39]);
    expect([...decodeTensor(object('float64', '[1]', '[0.1]')).data]).toEqual([Math.fround(0.1)]);
  });
});

describe('{"dtype", "shape", "data"}', () => {
  test.each([
    '{"dtype":"float32","shape":[2,1],"data":[1,2]}',
    '{"data":[1,2],"shape":[2,1],"dtype":"float32"}',
    '{ "shape" : [ 2 , 1 ] , "data" : [ 1 , 2 ] }',
    '{"data":[1,2],"shape":[2.0,1e0]}',
    '{"d\\u0061ta":"AACAPwAAAEA=","shape":[2,1]}',
    '{"dtype":"float32","data":"AACAPwAAAEA=","shape":[2,1]}',
  ])('%s', (text) => {
    const tensor = decodeTensor(text);
    expect({ dtype: tensor.dtype, ...plain(tensor) }).toEqual({
      dtype: 'float32',
      shape: [2, 1],
      data: [1, 2],
    });
    expectShared(tensor);
  });

  const values = [
    ['float64', Float64Array.of(0.1, -2), [0.1, -2]],
    ['float32', Float32Array.of(0.5, -2), [0.5, -2]],
    ['float16', Float16Array.of(0.1, -2), [Math.f16round(0.1), -2]],
    ['bfloat16', Uint16Array.of(0x3f80, 0xc049), [1, -3.140625]],
    ['int32', Int32Array.of(-5, 2147483647), [-5, 2147483647]],
    ['int64', BigInt64Array.of(-5n, 9007199254740991n), [-5, 9007199254740991]],
  ] as const;
  test.each(values)('base64 of %s', (dtype, elements, expected) => {
    const text = object(dtype, '[2]', `"${base64(elements)}"`);
    const wide = decodeTensor(text, 'query', ',"precision":"float64"');
    expect({ dtype: wide.dtype, data: [...wide.data] }).toEqual({ dtype, data: expected });
    expectShared(wide);
    const narrow = decodeTensor(text);
    expect(narrow.data).toBeInstanceOf(Float32Array);
    expect([...narrow.data]).toEqual(expected.map(Math.fround));
    expectShared(narrow);
    expect([...decodeTensor(text, 'rope.positions').data]).toEqual(expected);
  });

  test('numbers of each dtype are rounded to it', () => {
    const read = (dtype: string, data: string) =>
      [...decodeTensor(object(dtype, '[1]', `[${data}]`), 'query', ',"precision":"float64"').data][0];
    expect(read('float64', '0.1')).toBe(0.1);
    expect(read('float16', '0.1')).toBe(Math.f16round(0.1));
    expect(read('bfloat16', '3.14159')).toBe(3.140625);
    expect(read('int32', '-2147483648')).toBe(-(2 ** 31));
    expect(read('int32', '-0')).toBe(0);
    expect(read('int64', '9007199254740991')).toBe(9007199254740991);
  });

  test('integers are integers, in range', () => {
    for (const element of ['1.5', '2147483648', '-2147483649', '1e10']) {
      invalid(
        object('int32', '[1]', `[${element}]`),
        '/query/data/0',
        `2^31 - 1 at index [0]; got ${element}`,
      );
    }
    for (const element of ['9007199254740992', '9007199254740993', '0.5', '1e400']) {
      invalid(object('int64', '[1]', `[${element}]`), '/query/data/0', '2^53 - 1');
    }
    const large = base64(BigInt64Array.of(1n, 2n ** 60n));
    invalid(
      object('int64', '[2]', `"${large}"`),
      '/query/data',
      /2\^53 - 1 at index \[1\]; got .*1152921504606846976/,
    );
  });

  test('masks', () => {
    const read = (text: string) => plain(decodeTensor(text, 'allow_mask'));
    const expected = { shape: [1, 2], data: [1, 0] };
    expect(read(object('bool', '[1,2]', '[true,false]'))).toEqual(expected);
    expect(read(object('bool', '[1,2]', '[1, 0]'))).toEqual(expected);
    expect(read('{"shape":[1,2],"data":[true,false]}')).toEqual(expected);
    expect(read('{"data":[1,0],"dtype":"bool","shape":[1,2]}')).toEqual(expected);
    expect(read('{"shape":[1,2],"data":"AQA="}')).toEqual(expected);
    invalid('{"shape":[1,2],"data":[1,0]}', '/allow_mask/data/0', 'additive bias', 'allow_mask');
    invalid(
      object('bool', '[2]', '[0,2]'),
      '/allow_mask/data/1',
      'true, false, 0 or 1 at index [1]; got 2',
      'allow_mask',
    );
    invalid(
      object('bool', '[2]', '"AQI="'),
      '/allow_mask/data',
      'Expected 0 or 1 at index [1]; got 2',
      'allow_mask',
    );
    invalid(
      object('float32', '[2]', '[0,1]'),
      '/allow_mask/dtype',
      /among bool; got "float32".*`bias`/,
      'allow_mask',
    );
    invalid(object('bool', '[2]', '[0,1]'), '/query/dtype', /got "bool".*`allow_mask`/);
    invalid(object('bool', '[2]', '[0,1]'), '/key_lengths/dtype', 'got "bool"', 'key_lengths');
  });

  test('NaN and infinities in base64 are refused with their index', () => {
    const cases = [
      ['float32', Float32Array.of(0, 1, 2, Number.NaN), 'NaN'],
      ['float64', Float64Array.of(0, 1, 2, Number.POSITIVE_INFINITY), 'Infinity'],
      ['float16', Float16Array.of(0, 1, 2, Number.NEGATIVE_INFINITY), '-Infinity'],
      ['bfloat16', Uint16Array.of(0, 1, 2, 0x7fc0), 'NaN'],
    ] as const;
    for (const [dtype, data, got] of cases) {
      const text = object(dtype, '[2,2]', `"${base64(data)}"`);
      invalid(text, '/query/data', `Expected a finite number at index [1, 1]; got ${got}`);
      invalid(`{"data":"${base64(data)}","shape":[2,2],"dtype":"${dtype}"}`, '/query/data', '[1, 1]');
    }
  });

  test('base64 is strict', () => {
    const one = (data: string) => object('float32', '[1]', JSON.stringify(data));
    expect(plain(decodeTensor(one('AACAPw=='))).data).toEqual([1]);
    expect(plain(decodeTensor(object('bfloat16', '[1]', '"\\/z8="'))).data).toEqual([1.9921875]);
    invalid(one('AACAPw'), '/query/data', 'multiple of 4, padded with =; got 6 characters');
    invalid(one('AACAPw='), '/query/data', 'multiple of 4');
    invalid(one('AACA\nPw=='), '/query/data', 'alphabet');
    invalid(one('AAC-Pw=='), '/query/data', 'got "-" at character 3');
    invalid(one('AAC_Pw=='), '/query/data', 'got "_" at character 3');
    invalid(one('AA=APw=='), '/query/data', 'got "=" at character 2');
    invalid(one('AACAPw=A'), '/query/data', 'alphabet');
    invalid(one('AACAPé=='), '/query/data', 'alphabet');
    invalid(one('AACAPx=='), '/query/data', 'zero in the unused bits');
    invalid(one('===='), '/query/data', 'alphabet');
    invalid(one('AACAPwAA'), '/query/data', 'Expected base64 of 4 bytes for float32 [1]; got 6 bytes');
    invalid(one(''), '/query/data', 'Expected base64 of 4 bytes for float32 [1]; got 0 bytes');
    expect(plain(decodeTensor(object('float32', '[0]', '""')))).toEqual({ shape: [0], data: [] });
  });

  test('shapes', () => {
    expect(plain(decodeTensor(object('float32', '[2,0,3]', '[]')))).toEqual({ shape: [2, 0, 3], data: [] });
    invalid(
      object('float32', '[2,2]', '[1,2,3]'),
      '/query/data',
      'Expected 4 elements for shape [2, 2]; got 3',
    );
    invalid(object('float32', '[1]', '[1,2]'), '/query/data', 'Expected 1 elements for shape [1]; got 2');
    invalid(object('float32', '[2]', '[1,2,NaN]'), '/query/data/2', 'got NaN');
    invalid(object('float32', '[-1]', '[]'), '/query/shape', 'integers, 0 or more; got -1');
    invalid(object('float32', '[1.5]', '[]'), '/query/shape', 'got 1.5');
    invalid(object('float32', '[4294967296,4294967296]', '[]'), '/query/shape', 'below 2^53');
    invalid(object('float32', '[1e300]', '[]'), '/query/shape', 'got 1e+300');
    invalid(object('float32', '[]', '[1]'), '/query/shape', 'Expected 1 to 4 sizes; got 0');
    invalid(object('float32', '[1,1,1,1,1]', '[1]'), '/query/shape', 'got more than 4');
    // It stops at the fifth, whatever follows.
    invalid('{"shape":[1,1,1,1,1,"x",}', '/query/shape', 'Expected 1 to 4 sizes; got more than 4');
    malformed('{"shape":[1,1,1,1,],"data":[1]}', '/query/shape/4', "got ']'");
    invalid(object('float32', '[1,"2"]', '[1]'), '/query/shape/1', 'got a string');
    invalid(object('float32', '2', '[1,2]'), '/query/shape', 'Expected a shape, such as [2, 3]; got 2');
    invalid(object('float32', '[[1]]', '[1]'), '/query/shape/0', 'got an array');
  });

  test('flat data is flat', () => {
    invalid(object('float32', '[2,1]', '[[1],[2]]'), '/query/data/0', 'Expected data as one flat array');
    invalid('{"data":[[1],[2]],"shape":[2,1]}', '/query/data/0', 'Expected data as one flat array');
    invalid('{"data":[1,{"a":"]"}],"shape":[2]}', '/query/data/1', 'Expected data as one flat array');
    invalid(object('float32', '[2]', '[1,[2]]'), '/query/data/1', 'got an array');
    invalid(
      object('float32', '[2]', '{}'),
      '/query/data',
      'flat array of numbers or a base64 string; got an object',
    );
    invalid(object('float32', '[2]', '12'), '/query/data', 'got 12');
    invalid('{"data":null}', '/query/data', 'got null');
    invalid('{"data":[1,2,"shape":[2]}', '/query/data/2', 'got a string in it');
    refused(() => decode('{"query":{"data":[1,2'), 'malformed_body', '', 'closing brace');
  });

  test('members', () => {
    invalid('{}', '/query', 'got no shape');
    invalid('{"data":[1]}', '/query', 'got no shape');
    invalid('{"shape":[1]}', '/query', 'got no data');
    invalid('{"shape":[1],"data":[1],"strides":[1]}', '/query/strides', 'got another member');
    invalid('{"shape":[1],"shape":[1],"data":[1]}', '/query/shape', 'each once; got it twice');
    invalid('{"shape":[1],"data":[1],"data":[1]}', '/query/data', 'got it twice');
    invalid(object('float128', '[1]', '[1]'), '/query/dtype', /among float32, float64.*; got "float128"/);
    invalid('{"dtype":null}', '/query/dtype', 'got null');
    const long = 'got a string of more than 256 bytes';
    // The quote that is to end it is not even looked for.
    invalid(`{"dtype":"${'x'.repeat(257)},}`, '/query/dtype', long);
    invalid(`{"dtype":"${'\\"'.repeat(129)}"}`, '/query/dtype', long);
    invalid(object('x'.repeat(256), '[1]', '[1]'), '/query/dtype', /got "x{96}…"$/);
    refused(() => decodeTensor('{"__proto__":[1]}'), 'malformed_body', '/query/__proto__', '__proto__');
    for (const text of [
      '{"shape":[1],"data":[1],}',
      '{"shape":[1] "data":[1]}',
      '{"shape" [1]}',
      '{shape:[1]}',
      '{,}',
    ]) {
      refused(() => decodeTensor(text), 'malformed_body', /^\/query/, 'Expected');
    }
  });
});
