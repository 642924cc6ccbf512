import { describe, expect, test } from 'vitest';
import { MAX_HEADER_BYTES, readSafetensors } from '../../../src/wire/safetensors/read.ts';
import { writeSafetensors } from '../../../src/wire/safetensors/write.ts';
import { bytesOf, f32, fileOf, pack, shared } from '../../support/safetensors.ts';
import { refused } from '../json/helpers.ts';

const entry = (dtype: string, shape: unknown, offsets: unknown) => ({ dtype, shape, data_offsets: offsets });
const refusedFile = (file: Uint8Array, pointer: string, detail: string | RegExp) =>
  refused(() => readSafetensors(file), 'malformed_body', pointer, detail);

describe('reading safetensors', () => {
  test('gives tensors as views on the file, in the order of the header, and the metadata', () => {
    const file = shared(
      pack(
        { b: f32([2, 1], [1, 2]), a: { dtype: 'U8', shape: [3], bytes: Uint8Array.of(7, 8, 9) } },
        { note: 'é"' },
      ),
    );
    const { tensors, metadata } = readSafetensors(file);
    expect([...tensors.keys()]).toEqual(['b', 'a']);
    expect([...metadata]).toEqual([['note', 'é"']]);
    const { dtype, shape, bytes } = tensors.get('b')!;
    expect([dtype, shape, [...bytes]]).toEqual(['F32', [2, 1], [...bytesOf(Float32Array.of(1, 2))]]);
    for (const tensor of tensors.values()) expect(tensor.bytes.buffer).toBe(file.buffer);
    expect([...tensors.get('a')!.bytes]).toEqual([7, 8, 9]);
  });

  test.each([
    ['{}', 0],
    ['{ \n\t"a" : { "shape" : [ ] , "dtype":"F64","data_offsets":[0,8]} }   ', 8],
    [
      '{"a":{"dtype":"F32","shape":[0,3],"data_offsets":[4,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
      4,
    ],
    ['{"b":{"dtype":"F4","shape":[3,2],"data_offsets":[0,3]}}', 3],
    ['{"\\u0061\\"":{"dtype":"\\u0046\\u0033\\u0032","shape":[1],"data_offsets":[0,4]}}', 4],
    ['{"__metadata__":{}}', 0],
  ])('takes %s', (header, data) => {
    const { tensors } = readSafetensors(fileOf(header, data));
    expect([...tensors.values()].reduce((sum, { bytes }) => sum + bytes.length, 0)).toBe(data);
  });

  test('reads a file that begins inside its buffer', () => {
    const file = pack({ a: f32([1], [5]) });
    const buffer = new Uint8Array(file.length + 3);
    buffer.set(file, 3);
    expect([...readSafetensors(buffer.subarray(3)).tensors.get('a')!.bytes]).toEqual([
      ...bytesOf(Float32Array.of(5)),
    ]);
  });

  test('takes a header of the largest size, with one string in it, and no larger one', () => {
    const text = (bytes: number) =>
      `{"__metadata__":{"a":"${'\\n'.repeat((bytes - 25) / 2)}" }}`.padEnd(bytes);
    expect(text(MAX_HEADER_BYTES).length).toBe(MAX_HEADER_BYTES);
    expect(readSafetensors(fileOf(text(MAX_HEADER_BYTES))).metadata.get('a')).toHaveLength(524_275);
    refusedFile(
      fileOf(text(MAX_HEADER_BYTES + 2)),
      '',
      'a header of at most 1048576 bytes; its first 8 bytes say 1048578',
    );
  });
});

describe('a file that is not of the format is refused, in words', () => {
  const a = entry('F32', [1], [0, 4]);
  const tensor = (fields: object) => fileOf({ a: { ...a, ...fields } }, 4);

  test.each<[string, Uint8Array, string, string | RegExp]>([
    ['no file', new Uint8Array(), '', 'the 8 bytes of the header length; got 0 bytes'],
    ['seven bytes', new Uint8Array(7), '', 'got 7 bytes'],
    [
      'a header beyond the file',
      fileOf('{}', 0, 3n),
      '',
      'Expected 3 bytes of header, as the file begins by saying; got 2',
    ],
    [
      'a header beyond all memory',
      fileOf('{}', 0, 2n ** 64n - 1n),
      '',
      'its first 8 bytes say 18446744073709551615',
    ],
    ['an empty header', fileOf(''), '', "Expected the header to begin with '{'"],
    ['a space before the header', fileOf(' {}'), '', "begin with '{'"],
    ['a byte order mark', fileOf('\ufeff{}'), '', "begin with '{'"],
    ['an array', fileOf('[]'), '', "begin with '{'"],
    [
      'bytes that are not UTF-8',
      fileOf(Buffer.from('{"\xff":1}', 'latin1')),
      '',
      'Expected a header in UTF-8',
    ],
    [
      'half an object',
      fileOf('{'),
      '',
      'Expected the name of a member, in double quotes; got the end of the header at character 1',
    ],
    [
      'something after the object',
      fileOf('{}}'),
      '',
      'Expected nothing but spaces after the header; got "}" at character 2',
    ],
    [
      'a comma at the end',
      fileOf('{"a":{"dtype":"F32",}}'),
      '/a',
      'Expected the name of a member, in double quotes; got "}"',
    ],
    [
      'a name without quotes',
      fileOf('{a:1}'),
      '',
      'Expected the name of a member, in double quotes; got "a" at character 1',
    ],
    ['a string that does not end', fileOf('{"a'), '', 'got "\\"a" at character 1'],
    [
      'an unknown escape',
      fileOf('{"\\x":1}'),
      '',
      'Expected a string without control characters and unknown escapes',
    ],
    ['a control character', fileOf('{"a\n":1}'), '', 'Expected a string without control characters'],
    [
      'a tensor that is a number',
      fileOf('{"a":1}'),
      '/a',
      'Expected {"dtype", "shape", "data_offsets"}, each once; got "1" at character 5',
    ],
    [
      'a tensor twice',
      fileOf('{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"\\u0061":1}'),
      '/a',
      'Expected each name once; got it twice',
    ],
    [
      'a member of a tensor twice',
      fileOf('{"a":{"dtype":"F32","dtype":"F32"}}'),
      '/a/dtype',
      'Expected each name once; got it twice',
    ],
    ['metadata twice', fileOf('{"__metadata__":{},"__metadata__":{}}'), '/__metadata__', 'got it twice'],
    [
      'one name twice in the metadata',
      fileOf('{"__metadata__":{"x":"1","x":"2"}}'),
      '/__metadata__/x',
      'got it twice',
    ],
    [
      'metadata that is no object',
      fileOf('{"__metadata__":"x"}'),
      '/__metadata__',
      'Expected an object of strings; got "\\"x\\""',
    ],
    [
      'metadata that is no string',
      fileOf('{"__metadata__":{"x":{"y":1}}}'),
      '/__metadata__/x',
      'Expected a string; got "{\\"y\\""',
    ],
    ['__proto__', fileOf('{"__proto__":{}}'), '/__proto__', 'Expected the name of a field; got __proto__'],
    ['__proto__, escaped', fileOf('{"\\u005f_proto__":{}}'), '/__proto__', 'got __proto__'],
    [
      'constructor on the way',
      fileOf('{"a.constructor.b":{}}'),
      '/a.constructor.b',
      'Expected the name of a field',
    ],
    [
      '__proto__ in the metadata',
      fileOf('{"__metadata__":{"__proto__":"x"}}'),
      '/__metadata__/__proto__',
      'Expected the name of a field',
    ],
    ['another member', tensor({ strides: [1] }), '/a/strides', 'got another member'],
    ['no dtype', tensor({ dtype: undefined }), '/a', 'got no dtype'],
    ['no shape', tensor({ shape: undefined }), '/a', 'got no shape'],
    ['no offsets', tensor({ data_offsets: undefined }), '/a', 'got no data_offsets'],
    [
      'three offsets',
      tensor({ data_offsets: [0, 4, 8] }),
      '/a',
      'Expected data_offsets as [begin, end]; got 3 numbers',
    ],
    [
      'an unknown dtype',
      tensor({ dtype: 'F33' }),
      '/a/dtype',
      /Expected a dtype among F64, F32, .*BOOL; got "F33"/,
    ],
    ['a dtype of another case', tensor({ dtype: 'f32' }), '/a/dtype', 'got "f32"'],
    ['a dtype from the prototype', tensor({ dtype: 'toString' }), '/a/dtype', 'got "toString"'],
    [
      'a dtype that is no string',
      tensor({ dtype: 32 }),
      '/a/dtype',
      'Expected a dtype, such as "F32"; got "32"',
    ],
    [
      'a shape that is no array',
      tensor({ shape: 1 }),
      '/a/shape',
      'Expected a shape, such as [2, 3]; got "1"',
    ],
    ['a nested shape', tensor({ shape: [[1]] }), '/a/shape', 'Expected an integer, 0 or more; got "[1"'],
    ['a negative size', tensor({ shape: [-1] }), '/a/shape', 'Expected an integer, 0 or more; got "-1"'],
    [
      'a size with a fraction',
      tensor({ shape: [1.5] }),
      '/a/shape',
      'Expected an integer, 0 or more; got "1.5"',
    ],
    ['a size with an exponent', fileOf('{"a":{"shape":[1e0]}}'), '/a/shape', 'got "1e0"'],
    ['a size with a leading zero', fileOf('{"a":{"shape":[01]}}'), '/a/shape', 'got "01"'],
    [
      'a size beyond 2^53',
      fileOf('{"a":{"shape":[9007199254740992]}}'),
      '/a/shape',
      'Expected an integer below 2^53',
    ],
    ['a size of many digits', fileOf(`{"a":{"shape":[${'9'.repeat(400)}]}}`), '/a/shape', 'below 2^53'],
    [
      'a product beyond 2^53',
      tensor({ shape: [2 ** 27, 2 ** 27] }),
      '/a/shape',
      'fill whole bytes, fewer than 2^50; got [134217728, 134217728]',
    ],
    [
      'a product that comes round to the bytes in 64 bits',
      tensor({ shape: [2 ** 32 + 1, 2 ** 32 - 1, 2 ** 32 + 1] }),
      '/a/shape',
      'fewer than 2^50',
    ],
    ['half a byte', fileOf({ a: entry('F4', [1], [0, 1]) }, 1), '/a/shape', 'whole bytes'],
    [
      'fewer bytes than the shape',
      tensor({ shape: [2] }),
      '/a/data_offsets',
      'Expected 8 bytes for F32 [2]; got data_offsets [0, 4], 4 bytes',
    ],
    ['more bytes than the shape', tensor({ dtype: 'U8' }), '/a/data_offsets', 'Expected 1 bytes for U8 [1]'],
    [
      'offsets that run back',
      tensor({ data_offsets: [4, 0] }),
      '/a/data_offsets',
      'begin <= end <= 4, the bytes of the data; got [4, 0]',
    ],
    ['offsets beyond the file', tensor({ data_offsets: [0, 8] }), '/a/data_offsets', 'got [0, 8]'],
    [
      'a hole at the start',
      fileOf({ a: entry('U8', [3], [1, 4]) }, 4),
      '/a/data_offsets',
      'Expected data that begins at byte 0: every byte belongs to one tensor; got [1, 4]',
    ],
    [
      'a hole',
      fileOf({ a, b: entry('U8', [1], [5, 6]) }, 6),
      '/b/data_offsets',
      'begins at byte 4, where the data of "a" ends',
    ],
    [
      'an overlap',
      fileOf({ a, b: entry('U8', [3], [3, 6]) }, 6),
      '/b/data_offsets',
      'begins at byte 4, where the data of "a" ends',
    ],
    ['one tensor twice', fileOf({ a, b: a }, 4), '/b/data_offsets', 'begins at byte 4'],
    [
      'nothing where another is',
      fileOf({ a, b: entry('U8', [0], [2, 2]) }, 4),
      '/b/data_offsets',
      'begins at byte 4',
    ],
    [
      'bytes after the last tensor',
      fileOf({ a }, 5),
      '',
      'Expected 4 bytes of data, as the header says; got 5',
    ],
    ['bytes and no tensor', fileOf('{}', 1), '', 'Expected 0 bytes of data, as the header says; got 1'],
  ])('%s', (_what, file, pointer, detail) => {
    refusedFile(file, pointer, detail);
  });

  test('nesting, at once and whatever its depth', () => {
    refusedFile(fileOf(`{"a":${'['.repeat(1_000_000)}`), '/a', 'Expected {"dtype", "shape", "data_offsets"}');
    refusedFile(fileOf(`{"a":{"shape":${'['.repeat(1_000_000)}`), '/a/shape', 'Expected an integer');
  });

  test('with a short message, whatever the length of its names', () => {
    const name = 'n'.repeat(100_000);
    const { message } = refusedFile(fileOf({ [name]: a, b: a }, 4), '/b/data_offsets', 'n…"');
    expect(message.length).toBeLessThan(300);
  });
});

describe('writing safetensors', () => {
  const numbers = {
    flags: { dtype: 'BOOL', shape: [3], bytes: Uint8Array.of(1, 0, 1) },
    small: { dtype: 'F32', shape: [2], bytes: bytesOf(Float32Array.of(1, 2)) },
    wide: { dtype: 'F64', shape: [], bytes: bytesOf(Float64Array.of(Math.PI)) },
    none: { dtype: 'BF16', shape: [0, 4], bytes: new Uint8Array() },
  } as const;

  test('is read back, each tensor at a multiple of its element size', () => {
    const metadata = { request: '{"a":"é"}', format: 'pt' };
    const bytes = writeSafetensors(new Map(Object.entries(numbers)), metadata);
    expect(bytes.byteOffset).toBe(0);
    expect(bytes.buffer.byteLength).toBe(bytes.length);
    const file = readSafetensors(bytes);
    expect(Object.fromEntries(file.metadata)).toEqual(metadata);
    expect([...file.tensors.keys()]).toEqual(['wide', 'small', 'none', 'flags']);
    for (const [name, { dtype, shape, bytes: elements }] of Object.entries(numbers)) {
      const tensor = file.tensors.get(name)!;
      expect([tensor.dtype, tensor.shape, [...tensor.bytes]]).toEqual([dtype, [...shape], [...elements]]);
    }
    expect(file.tensors.get('wide')!.bytes.byteOffset % 8).toBe(0);
    expect(file.tensors.get('small')!.bytes.byteOffset % 4).toBe(0);
  });

  test('of nothing is a file', () => {
    const file = readSafetensors(writeSafetensors(new Map()));
    expect([file.tensors.size, file.metadata.size]).toEqual([0, 0]);
  });

  test('refuses what would not be read', () => {
    const one = { dtype: 'F32', shape: [1], bytes: new Uint8Array(3) } as const;
    expect(() => writeSafetensors(new Map([['a', one]]))).toThrow('a: F32 [1] cannot have 3 bytes');
    const none = { dtype: 'F32', shape: [0], bytes: new Uint8Array() } as const;
    expect(() => writeSafetensors(new Map([['__metadata__', none]]))).toThrow('not the name of a tensor');
  });
});
