import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ShortestFloat32 } from '../../src/wire/json/shortest-float32.ts';
import { damaged, document, numberText } from '../wire/json/documents.ts';
import { decode, decodeTensor, encode, float32 } from '../wire/json/helpers.ts';
import { FORMATS, float32OfBits, nearest, shortestDecimal } from '../wire/json/oracle.ts';
import { decodesOrRefuses, expectDecodes, referenceDecode } from '../wire/json/reference.ts';

/**
 * Runs of another seed each time, short by default. `FUZZ_SECONDS=600` gives each property that many seconds.
 * A failure prints its seed and the smallest case that fast-check finds.
 */
const SECONDS = Number(process.env.FUZZ_SECONDS ?? 0);
const TIMEOUT = (SECONDS + 60) * 1000;

function fuzz<Value>(value: fc.Arbitrary<Value>, property: (value: Value) => void): void {
  fc.assert(
    fc.property(value, (case_) => void property(case_)),
    SECONDS > 0
      ? { numRuns: Number.MAX_SAFE_INTEGER, interruptAfterTimeLimit: SECONDS * 1000 }
      : { numRuns: 200 },
  );
}

describe('decoding JSON', () => {
  test('means what JSON.parse and Math.fround make of it', { timeout: TIMEOUT }, () => {
    fuzz(document, (text) => expectDecodes(decode(text), referenceDecode(text)));
  });

  test('of damaged bytes fails only with a Problem', { timeout: TIMEOUT }, () => {
    fuzz(damaged, decodesOrRefuses);
  });

  test('of any bytes fails only with a Problem', { timeout: TIMEOUT }, () => {
    const around = fc.constantFrom(
      ['', ''],
      ['{"query":', '}'],
      ['{"query":{"shape":[1],"data":', '}}'],
      ['{"a":', '}'],
    );
    fuzz(fc.tuple(around, fc.uint8Array({ maxLength: 64 })), ([[before, after], bytes]) => {
      decodesOrRefuses(Buffer.concat([Buffer.from(before), bytes, Buffer.from(after)]));
    });
  });

  test('rounds every decimal once', { timeout: TIMEOUT }, () => {
    fuzz(fc.tuple(numberText, fc.constantFrom('float32', 'float16', 'bfloat16')), ([text, dtype]) => {
      const expected = nearest(text, FORMATS[dtype as 'float32']);
      if (!Number.isFinite(expected)) return;
      const tensor = decodeTensor(`{"dtype":"${dtype}","shape":[1],"data":[${text}]}`);
      expect(tensor.data[0]).toBe(expected);
    });
  });
});

describe('encoding float32', () => {
  const pattern = fc.integer({ min: 1, max: 0x7f7fffff });

  test('gives the digits of exact arithmetic', { timeout: TIMEOUT }, () => {
    const shortest = new ShortestFloat32();
    fuzz(pattern, (bits) => {
      shortest.find(bits);
      const { digits, exponent } = shortestDecimal(float32OfBits(bits));
      expect([BigInt(shortest.digits), shortest.exponent]).toEqual([digits, exponent]);
    });
  });

  test('reads back to the bit', { timeout: TIMEOUT }, () => {
    fuzz(fc.array(pattern, { maxLength: 100 }), (patterns) => {
      const sent = float32([patterns.length], patterns.map(float32OfBits));
      const { query } = decode(encode({ query: sent })).tensors;
      expect(Buffer.from(query.data.buffer)).toEqual(Buffer.from(sent.data.buffer));
    });
  });
});
