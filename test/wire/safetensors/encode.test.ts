import { expect, test } from 'vitest';
import type { Answer } from '../../../src/domain/answer.ts';
import { safetensors } from '../../../src/wire/safetensors/format.ts';
import { bytesOf, unpack } from '../../support/safetensors.ts';
import { float32 } from '../json/helpers.ts';

function encode(answer: Answer): Uint8Array {
  const { bytes } = safetensors.encode(answer);
  expect(bytes.buffer.byteLength).toBe(bytes.length);
  return bytes;
}

test('writes tensors by their dotted names, to the bit, and the envelope as JSON', () => {
  const tensors = {
    output: float32([1, 3], [0.1, -0, 3.4e38]),
    logits: float32([2], [1, Number.NEGATIVE_INFINITY]),
    'weights.indices': { dtype: 'int32', shape: [2], data: Int32Array.of(2, 0) },
    'weights.values': { dtype: 'float64', shape: [2], data: Float64Array.of(Math.PI, 1e300) },
  } as const;
  const envelope = { empty_rows: 0, applied: { formula: 'softmax(QKᵀ)·V', scale: 0.5 } };
  const { parts, metadata } = unpack(encode({ tensors, envelope }));
  expect(metadata).toEqual({ response: JSON.stringify(envelope) });
  expect(
    Object.fromEntries(Object.entries(parts).map(([name, { dtype, shape }]) => [name, [dtype, shape]])),
  ).toEqual({
    output: ['F32', [1, 3]],
    logits: ['F32', [2]],
    'weights.indices': ['I32', [2]],
    'weights.values': ['F64', [2]],
  });
  for (const [name, { data }] of Object.entries(tensors)) expect(parts[name].bytes).toEqual(bytesOf(data));
});

test('writes results that are part of a larger buffer', () => {
  const data = Float32Array.of(9, 1, 2, 9).subarray(1, 3);
  const { parts } = unpack(
    encode({ tensors: { output: { dtype: 'float32', shape: [2], data } }, envelope: {} }),
  );
  expect(parts.output.bytes).toEqual(bytesOf(Float32Array.of(1, 2)));
});

test.each([Number.NaN, Number.POSITIVE_INFINITY])('never lets %d leave as a number', (value) => {
  const answer = { tensors: { output: float32([3], [0, value, 0]) }, envelope: {} };
  expect(() => encode(answer)).toThrow(`Element 1 of a result is ${value}`);
});
