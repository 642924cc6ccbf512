import { describe, expect, test } from 'vitest';
import { DEFAULT_LIMITS } from '../../../src/domain/limits.ts';
import { sequenceOf } from '../../../src/wire/kserve/sequence.ts';

const INPUT = { name: 'embeddings', shape: [1, 2], datatype: 'FP32' };

function read(json: string, behind = new Uint8Array(0)) {
  const text = Buffer.from(json);
  const bytes = new Uint8Array(Buffer.concat([text, behind]));
  return sequenceOf(bytes, behind.length === 0 ? {} : { headerBytes: text.length }, DEFAULT_LIMITS);
}

const withParameters = (parameters: string) =>
  read(`{"parameters":${parameters},"inputs":[${JSON.stringify({ ...INPUT, data: [1, 2] })}]}`);

describe('a sequence', () => {
  test.each<[string, string, ReturnType<typeof sequenceOf>]>([
    ['a number', '{"sequence_id":7}', { id: 7n, starts: false, ends: false }],
    ['a string', '{"sequence_id":"7"}', { id: '7', starts: false, ends: false }],
    [
      'its beginning',
      '{"sequence_id":7,"sequence_start":true,"sequence_end":false}',
      { id: 7n, starts: true, ends: false },
    ],
    [
      'all of it',
      '{"sequence_end":true,"sequence_start":true,"sequence_id":"a b"}',
      { id: 'a b', starts: true, ends: true },
    ],
    [
      'a number that no float64 holds',
      '{"sequence_id":9007199254740993}',
      { id: 9007199254740993n, starts: false, ends: false },
    ],
    [
      'the largest number',
      '{"sequence_id":18446744073709551615}',
      { id: 2n ** 64n - 1n, starts: false, ends: false },
    ],
    [
      'names with escapes',
      '{"\\u0073equence\\u005fid":"\\u0061","sequenc\\u0065_start":true}',
      { id: 'a', starts: true, ends: false },
    ],
    ['the last of two ids', '{"sequence_id":7,"sequence_id":8}', { id: 8n, starts: false, ends: false }],
    ['none', '{"causal":true}', null],
    ['none, by 0', '{"sequence_id":0,"sequence_start":false,"sequence_end":false}', null],
    ['none, by an empty string', '{"sequence_id":""}', null],
    ['none, since it is said elsewhere', '{"note":"sequence_id","inner":{"sequence_id":7}}', null],
  ])('%s', (_name, parameters, expected) => {
    expect(withParameters(parameters)).toEqual(expected);
  });

  test('is found behind numbers and before bytes', () => {
    const parameters = { sequence_id: 5, sequence_start: true };
    const expected = { id: 5n, starts: true, ends: false };
    const numbers = { ...INPUT, data: [[1, 2]] };
    expect(read(JSON.stringify({ inputs: [numbers], parameters }))).toEqual(expected);
    const sized = { ...INPUT, parameters: { binary_data_size: 11 } };
    const looksLikeOne = Buffer.from('sequence_id');
    expect(read(JSON.stringify({ inputs: [sized], parameters }), looksLikeOne)).toEqual(expected);
    expect(read(JSON.stringify({ inputs: [sized] }), looksLikeOne)).toBeNull();
  });

  test.each([
    ['a fraction', '{"sequence_id":1.5}', 'sequence_id', /integer from 0.*got 1\.5/],
    ['a number with an exponent', '{"sequence_id":1e3}', 'sequence_id', /got 1e3/],
    ['a negative number', '{"sequence_id":-1}', 'sequence_id', /got -1/],
    [
      'a number beyond 64 bits',
      '{"sequence_id":18446744073709551616}',
      'sequence_id',
      /got 18446744073709551616/,
    ],
    ['a truth', '{"sequence_id":true}', 'sequence_id', /got true/],
    ['a long string', `{"sequence_id":"${'a'.repeat(129)}"}`, 'sequence_id', /at most 128 characters/],
    ['a beginning in words', '{"sequence_id":1,"sequence_start":"yes"}', 'sequence_start', /got "yes"/],
    ['an end as a number', '{"sequence_id":1,"sequence_end":1}', 'sequence_end', /true or false; got 1/],
    ['the beginning of none', '{"sequence_start":true}', 'sequence_id', /sequence_start is about.*got ""/],
    [
      'the end of none',
      '{"sequence_id":0,"sequence_end":true}',
      'sequence_id',
      /sequence_end is about.*got 0/,
    ],
  ])('refuses %s', (_name, parameters, field, words) => {
    const pointer = `/parameters/${field}`;
    const detail = expect.stringMatching(words);
    expect(() => withParameters(parameters)).toThrow(
      expect.objectContaining({ code: 'invalid_request', errors: [{ pointer, detail }] }),
    );
  });

  test('says of a body that is none what decoding it would say', () => {
    expect(() => read('{"parameters":{"sequence_id":7},"inputs":[')).toThrow(
      expect.objectContaining({ code: 'malformed_body' }),
    );
    expect(() => sequenceOf(new Uint8Array(4), { headerBytes: 5 }, DEFAULT_LIMITS)).toThrow(
      expect.objectContaining({ code: 'malformed_body' }),
    );
    expect(withParameters('["sequence_id"]')).toBeNull();
  });
});
