import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { AnswerTensor } from '../../../src/domain/answer.ts';
import { damaged, document } from './documents.ts';
import { decode, encode } from './helpers.ts';
import { decodesOrRefuses, expectDecodes, referenceDecode } from './reference.ts';

test('a document means what JSON.parse and Math.fround make of it', () => {
  fc.assert(
    fc.property(document, (text) => expectDecodes(decode(text), referenceDecode(text))),
    { numRuns: 1500 },
  );
});

test('damaged bytes decode or are refused with a Problem, and nothing decodes that JSON.parse refuses', () => {
  let decoded = 0;
  let runs = 0;
  fc.assert(
    fc.property(damaged, (bytes) => {
      runs++;
      if (decodesOrRefuses(bytes)) decoded++;
    }),
    { numRuns: 4000 },
  );
  // The property says something only where both happen.
  expect(decoded).toBeGreaterThan(0);
  expect(decoded).toBeLessThan(runs);
});

test('arbitrary bytes are refused with a Problem', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => void decodesOrRefuses(bytes)));
  const inObject = fc
    .uint8Array({ maxLength: 40 })
    .map((bytes) => Buffer.concat([Buffer.from('{"query":'), bytes, Buffer.from('}')]));
  fc.assert(fc.property(inObject, (bytes) => void decodesOrRefuses(bytes)));
});

/** Any finite bit pattern, from all over: fast-check's floats favour the edges. */
const element = fc.oneof(
  fc.float({ noNaN: true, noDefaultInfinity: true }),
  fc.integer().map((pattern) => {
    const value = new Float32Array(Int32Array.of(pattern).buffer)[0];
    return Number.isFinite(value) ? value : 1;
  }),
);

const shapes = fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 4 });

function tensorOf(dtype: 'float32' | 'float64'): fc.Arbitrary<AnswerTensor> {
  return shapes.chain((shape) => {
    const count = shape.reduce((product, size) => product * size, 1);
    const values = dtype === 'float32' ? element : fc.double({ noNaN: true, noDefaultInfinity: true });
    return fc.array(values, { minLength: count, maxLength: count }).map((data) => ({
      dtype,
      shape,
      data: dtype === 'float32' ? Float32Array.from(data) : Float64Array.from(data),
    }));
  });
}

test.each(['nested', 'flat', 'base64'] as const)('float32 comes back from %s to the bit', (encoding) => {
  fc.assert(
    fc.property(tensorOf('float32'), (tensor) => {
      const { query } = decode(encode({ query: tensor }, encoding)).tensors;
      // JSON.stringify's rule, and so ours: text has no -0. Nested arrays have no shape below an empty axis.
      const sent = encoding === 'base64' ? tensor.data : tensor.data.map((value) => value + 0);
      const visible = tensor.shape.slice(0, tensor.shape.indexOf(0) + 1 || undefined);
      expect(query.shape).toEqual(encoding === 'nested' ? visible : tensor.shape);
      expect(Buffer.from(query.data.buffer)).toEqual(Buffer.from(sent.buffer));
    }),
    { numRuns: 500 },
  );
});

test.each(['flat', 'base64'] as const)('float64 comes back from %s to the bit', (encoding) => {
  fc.assert(
    fc.property(tensorOf('float64'), (tensor) => {
      const { query } = decode(encode({ query: tensor }, encoding, { precision: 'float64' })).tensors;
      const sent = encoding === 'base64' ? tensor.data : tensor.data.map((value) => value + 0);
      expect(Buffer.from(query.data.buffer)).toEqual(Buffer.from(sent.buffer));
    }),
    { numRuns: 300 },
  );
});
