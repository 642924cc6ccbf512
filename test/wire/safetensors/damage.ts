import { expect } from 'vitest';
import { DEFAULT_LIMITS } from '../../../src/domain/limits.ts';
import { Problem } from '../../../src/domain/problem.ts';
import { decodeSafetensors } from '../../../src/wire/safetensors/decode.ts';
import { readSafetensors } from '../../../src/wire/safetensors/read.ts';
import type { Random } from '../../support/random.ts';
import { fileOf, type Part, pack } from '../../support/safetensors.ts';
import { FIELDS } from '../json/helpers.ts';

const ELEMENT_BYTES: Readonly<Record<string, number>> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  F8_E4M3: 1,
  F8_E5M2: 1,
  F8_E8M0: 1,
  C64: 8,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
  F4: 1 / 2,
  F6_E2M3: 3 / 4,
  F6_E3M2: 3 / 4,
};

const pick = <Value>(random: Random, from: readonly Value[]): Value => from[random.below(from.length)];

/** A small file that is a call as often as not. */
export function wholeFile(random: Random): Uint8Array {
  const parts: Record<string, Part> = {};
  for (let count = random.below(4); count > 0; count--) {
    const isCall = random.uniform() < 0.7;
    const name = isCall ? pick(random, Object.keys(FIELDS)) : pick(random, ['a', 'b.c', 'é', 'a"\\']);
    const dtype = isCall
      ? name === 'allow_mask'
        ? 'BOOL'
        : 'F32'
      : pick(random, Object.keys(ELEMENT_BYTES));
    const shape = Array.from({ length: 1 + random.below(3) }, () => 4 * random.below(3));
    const bytes = shape.reduce((product, size) => product * size, ELEMENT_BYTES[dtype]);
    parts[name] = { dtype, shape, bytes: new Uint8Array(bytes) };
  }
  const request = pick(random, ['{}', '{"causal":true}', '{"rope":{"pairing":"half"},"query":[1]}']);
  return pack(parts, random.uniform() < 0.5 ? { request } : undefined);
}

/** What is written into a header: its own words in other places, and numbers at the edges. */
const PIECES = [
  '0',
  '1',
  '4',
  '-1',
  '1.5',
  '1e9',
  '4294967296',
  '9007199254740991',
  '9007199254740992',
  '18446744073709551616',
  '[',
  ']',
  '{',
  '}',
  ',',
  ':',
  '"',
  '\\',
  '\\u0061',
  ' ',
  '\n',
  '\0',
  '"dtype"',
  '"shape"',
  '"data_offsets"',
  '"F32"',
  '"BOOL"',
  '"__metadata__"',
  '"request"',
  '"__proto__"',
  '"constructor":',
  'null',
  'true',
  '[0,4]',
  '[[1]]',
  'é',
];

/** A file with one to three things wrong with it, or by chance none. */
export function damagedFile(random: Random): Uint8Array {
  let file = wholeFile(random);
  for (let count = 1 + random.below(3); count > 0; count--) file = damage(file, random);
  return file;
}

function damage(file: Uint8Array, random: Random): Uint8Array {
  const at = random.below(file.length + 1);
  const to = Math.min(file.length, at + random.below(12));
  switch (random.below(7)) {
    case 0: {
      const flipped = Uint8Array.from(file);
      if (at < file.length) flipped[at] ^= 1 << random.below(8);
      return flipped;
    }
    case 1:
      return file.slice(0, at);
    case 2:
      return Buffer.concat([file.subarray(0, at), file.subarray(to)]);
    case 3:
      return Buffer.concat([file.subarray(0, to), file.subarray(at)]);
    case 4:
      return Buffer.concat([file.subarray(0, at), new Uint8Array(random.below(9)), file.subarray(at)]);
    default:
      return inHeader(file, random);
  }
}

/** The header with a piece put into it or in place of a number or word of it; mostly with its length set right. */
function inHeader(file: Uint8Array, random: Random): Uint8Array {
  if (file.length < 8) return file;
  const bytes = Buffer.from(file);
  const end = 8 + Math.min(Number(bytes.readBigUInt64LE()), file.length - 8);
  const text = bytes.toString('utf8', 8, end);
  const tokens = [...text.matchAll(/\d+|"[^"]*"|[[\]{}:,]/g)];
  const token = tokens[random.below(tokens.length + 1)];
  const from = token?.index ?? random.below(text.length + 1);
  const removed = token === undefined || random.uniform() < 0.3 ? 0 : token[0].length;
  const header = text.slice(0, from) + pick(random, PIECES) + text.slice(from + removed);
  const length = random.uniform() < 0.1 ? BigInt(random.below(400)) : undefined;
  return fileOf(header, bytes.subarray(end), length);
}

/** Bytes before and after a file in its buffer; none of them may ever be seen. */
const MARGIN = 16;

/**
 * Holds the reader to what JSON.parse makes of the header, and the decoder to a decoded body, or both to a Problem that
 * is the caller's fault. Returns whether the file was read.
 */
export function readsExactlyOrRefuses(file: Uint8Array): boolean {
  const buffer = new Uint8Array(new SharedArrayBuffer(file.length + 2 * MARGIN)).fill(0xff);
  const body = buffer.subarray(MARGIN, MARGIN + file.length);
  body.set(file);
  const options = { fields: FIELDS, limits: DEFAULT_LIMITS };
  const decoded = orRefusal(() => decodeSafetensors(body, options));
  const read = orRefusal(() => readSafetensors(body));
  if (read === undefined) {
    expect(decoded).toBeUndefined();
    return false;
  }
  const data = 8 + Number(Buffer.from(file).readBigUInt64LE());
  const header = JSON.parse(Buffer.from(file).toString('utf8', 8, data));
  const { __metadata__: metadata = {}, ...entries } = header;
  expect(Object.fromEntries(read.metadata)).toEqual(metadata);
  expect([...read.tensors.keys()].sort()).toEqual(Object.keys(entries).sort());
  let covered = 0;
  for (const [name, { dtype, shape, bytes }] of read.tensors) {
    const [from, to] = entries[name].data_offsets;
    expect({ dtype, shape }).toEqual({ dtype: entries[name].dtype, shape: entries[name].shape });
    expect(bytes.length).toBe(shape.reduce((product, size) => product * size, ELEMENT_BYTES[dtype]));
    expect([bytes.buffer === buffer.buffer, bytes.byteOffset, bytes.length]).toEqual([
      true,
      MARGIN + data + from,
      to - from,
    ]);
    expect(bytes.byteOffset + bytes.length).toBeLessThanOrEqual(MARGIN + file.length);
    covered += bytes.length;
  }
  expect(covered).toBe(file.length - data);
  return true;
}

function orRefusal<Result>(run: () => Result): Result | undefined {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof Problem) || error.status < 400 || error.status >= 500) throw error;
    return undefined;
  }
}
