import { describe, expect, test } from 'vitest';
import { DEFAULT_LIMITS } from '../../../src/domain/limits.ts';
import { Problem } from '../../../src/domain/problem.ts';
import { decodeSafetensors } from '../../../src/wire/safetensors/decode.ts';
import { encodeSafetensors } from '../../../src/wire/safetensors/encode.ts';
import { readSafetensors } from '../../../src/wire/safetensors/read.ts';
import { seeded } from '../../support/random.ts';
import { bytesOf, f32, fileOf, pack, unpack } from '../../support/safetensors.ts';
import { decodeOnce, FIELDS, float32 } from '../json/helpers.ts';
import { damagedFile, readsExactlyOrRefuses } from './damage.ts';

/*
 * What is found out about a header, or about an answer, is kept for the next file like it; that must never be seen.
 */

function problemOf(run: () => unknown): object | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return error.toData();
  }
}

const HEADER = '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}';

describe('a header that has been seen before', () => {
  test('belongs to the data of its own file', () => {
    const files = [1, 2, 3].map((n) => pack({ a: f32([2], [n, -n]) }, { note: 'same' }));
    const read = files.map((file) => readSafetensors(file));
    for (const [index, { tensors, metadata, header }] of read.entries()) {
      const { bytes, dtype, shape } = tensors.get('a')!;
      expect(bytes).toEqual(bytesOf(Float32Array.of(index + 1, -index - 1)));
      expect(bytes.buffer).toBe(files[index].buffer);
      expect([dtype, shape, [...metadata]]).toEqual(['F32', [2], [['note', 'same']]]);
      expect(header).toBe(read[0].header);
    }
  });

  test('is refused over data of another length, as one that is new, and then read again', () => {
    const other = HEADER.replace('"a"', '"b"');
    const expected = [7, 9, 0].map((bytes) => problemOf(() => readSafetensors(fileOf(other, bytes))));
    for (let turn = 0; turn < 3; turn++) {
      expect(readSafetensors(fileOf(HEADER, 8)).tensors.get('a')!.bytes).toHaveLength(8);
      for (const [index, bytes] of [7, 9, 0].entries()) {
        const problem = problemOf(() => readSafetensors(fileOf(HEADER, bytes)));
        expect(problem).toMatchObject({ code: 'malformed_body' });
        expect(JSON.stringify(problem).replaceAll('/a/', '/b/')).toEqual(JSON.stringify(expected[index]));
      }
    }
  });

  test('is refused where it is longer than it may be now', () => {
    const file = fileOf(HEADER, 8);
    for (let turn = 0; turn < 2; turn++) {
      readSafetensors(file);
      expect(problemOf(() => readSafetensors(file, HEADER.length - 1))).toMatchObject({
        code: 'malformed_body',
      });
    }
  });

  test('says nothing about one that differs in a letter', () => {
    const read = (header: string) => readSafetensors(fileOf(header, 8)).tensors;
    for (let turn = 0; turn < 2; turn++) {
      expect(read(HEADER).get('a')).toMatchObject({ dtype: 'F32', shape: [2] });
      expect(read(HEADER.replace('F32', 'I32')).get('a')).toMatchObject({ dtype: 'I32', shape: [2] });
      expect(read(HEADER.replace('F32', 'F64').replace('[2]', '[1]')).get('a')).toMatchObject({ shape: [1] });
      expect([...read(HEADER.replace('"a"', '"b"')).keys()]).toEqual(['b']);
    }
  });

  test.each([
    ['{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}', '/a/data_offsets'],
    ['{"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}', '/a/dtype'],
    ['{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,9]}}', '/a/data_offsets'],
    ['{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', '/a/data_offsets'],
    ['{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{}}', undefined],
    ['{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}', undefined],
  ])('is refused again where it was refused: %s', (header, pointer) => {
    const file = fileOf(header, 8);
    const [first, second, third] = [1, 2, 3].map(() => problemOf(() => readSafetensors(file)));
    expect(first).toMatchObject({ code: 'malformed_body' });
    if (pointer !== undefined) expect(first).toMatchObject({ errors: [{ pointer }] });
    expect([second, third]).toEqual([first, first]);
  });

  test('is read exactly or refused as at first, whatever the damage', () => {
    const random = seeded(7);
    let read = 0;
    for (let count = 0; count < 3000; count++) {
      const file = damagedFile(random);
      const isRead = readsExactlyOrRefuses(file);
      expect(readsExactlyOrRefuses(file)).toBe(isRead);
      if (isRead) read++;
      const longer = new Uint8Array([...file, 0]);
      if (isRead) expect(readsExactlyOrRefuses(longer)).toBe(false);
    }
    expect(read).toBeGreaterThan(100);
  });
});

describe('an answer that is written again', () => {
  const answer = () => ({
    tensors: { output: float32([2, 2], [1, 2, 3, 4]) },
    envelope: { empty_rows: 0 },
  });

  test('has the numbers of now, and leaves what was written before', () => {
    const one = answer();
    const first = encodeSafetensors(one);
    const copy = Uint8Array.from(first);
    one.tensors.output.data.set([5, 6, 7, 8]);
    const second = encodeSafetensors(one);
    expect(Uint8Array.from(first)).toEqual(copy);
    expect(unpack(second).parts.output.bytes).toEqual(bytesOf(Float32Array.of(5, 6, 7, 8)));
    one.tensors.output.data.set([1, 2, 3, 4]);
    second.fill(0);
    expect(Uint8Array.from(encodeSafetensors(one))).toEqual(copy);
  });

  test('is refused where a number has become one that may not leave, and written when it has gone', () => {
    const one = answer();
    const copy = Uint8Array.from(encodeSafetensors(one));
    one.tensors.output.data[2] = Number.NaN;
    for (let turn = 0; turn < 2; turn++)
      expect(() => encodeSafetensors(one)).toThrow('Element 2 of a result');
    one.tensors.output.data[2] = 3;
    expect(Uint8Array.from(encodeSafetensors(one))).toEqual(copy);
  });

  test('is not another one over the same tensors', () => {
    const one = answer();
    const other = { ...one, envelope: { empty_rows: 1 } };
    const written = [one, other, one, other].map((each) => unpack(encodeSafetensors(each)).metadata.response);
    expect(written).toEqual([one, other, one, other].map(({ envelope }) => JSON.stringify(envelope)));
  });
});

describe('the form of a body', () => {
  const formOfFile = (file: Uint8Array) =>
    decodeSafetensors(file, { fields: FIELDS, limits: DEFAULT_LIMITS }).form;
  const file = (numbers: number[], shape = [2], request = '{"causal":true}') =>
    pack({ query: f32(shape, numbers) }, { request });

  test('is that of another file where the elements alone differ', () => {
    const form = formOfFile(file([1, 2]));
    expect(form).toEqual(expect.any(String));
    expect(formOfFile(file([-7, 0.5]))).toBe(form);
    const others = [
      file([1, 2], [1, 2]),
      file([1, 2, 3], [3]),
      file([1, 2], [2], '{"causal":false}'),
      file([1, 2], [2], '{"causal":true,"precision":"float64"}'),
      pack({ query: { ...f32([2], [1, 2]), dtype: 'I32' } }, { request: '{"causal":true}' }),
      pack({ bias: f32([2], [1, 2]) }, { request: '{"causal":true}' }),
    ].map(formOfFile);
    expect(new Set([form, ...others]).size).toBe(others.length + 1);
  });

  test('is that of another document where the elements alone differ', () => {
    const formOf = (body: object) => decodeOnce(JSON.stringify(body)).form;
    const form = formOf({ query: [1, 2], causal: true });
    expect(form).toEqual(expect.any(String));
    expect(formOf({ query: [-7, 1e-30], causal: true })).toBe(form);
    const others = [
      { query: [[1, 2]], causal: true },
      { query: [1, 2, 3], causal: true },
      { query: [1, 2], causal: false },
      { query: [1, 2], causal: true, precision: 'float64' },
      { query: [1, 2], causal: true, bias: [1] },
      { bias: [1, 2], causal: true },
      { query: [1, 2], causal: true, response: { encoding: 'flat' } },
      { query: [1, 2], causal: true, projections: { w_q: [[1]] } },
    ].map(formOf);
    expect(new Set([form, ...others]).size).toBe(others.length + 1);
    expect(formOf({ query: [1], note: 'n'.repeat(2000) })).toBeUndefined();
  });
});
