import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { AnswerTensor } from '../../src/domain/answer.ts';
import { npy } from '../../src/wire/npy.ts';
import { bytesOf } from '../support/safetensors.ts';
import { float32 } from './json/helpers.ts';

interface Parsed {
  readonly descr: string;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

/** Reads a file by the letter of numpy.lib.format, version 1.0, and by nothing more. */
function parse(file: Uint8Array): Parsed {
  const bytes = Buffer.from(file);
  expect(bytes.toString('latin1', 0, 8)).toBe('\x93NUMPY\x01\x00');
  const dataAt = 10 + bytes.readUInt16LE(8);
  expect(dataAt % 64).toBe(0);
  const header = bytes.toString('ascii', 10, dataAt);
  const form = /^\{'descr': '([^']+)', 'fortran_order': False, 'shape': \(((?:\d+, ?)*(?:\d+)?)\), \} *\n$/;
  const match = form.exec(header);
  if (match === null) throw new Error(`not a header: ${JSON.stringify(header)}`);
  const shape = (match[2].match(/\d+/g) ?? []).map(Number);
  // (3) is a number to Python, and no tuple.
  if (shape.length === 1) expect(match[2]).toContain(',');
  return { descr: match[1], shape, data: Uint8Array.from(bytes.subarray(dataAt)) };
}

const OUTPUTS: readonly AnswerTensor[] = [
  float32([2, 3], [0.1, -0, 3.4e38, 1e-45, -1, 2]),
  float32([1, 1, 1, 1], [5]),
  float32([4], [1, 2, 3, 4]),
  float32([3, 0, 2], []),
  { dtype: 'float64', shape: [2, 1, 2], data: Float64Array.of(Math.PI, -0, 5e-324, 1e300) },
  float32([1000, 1000, 1000, 0], []),
];

function encode(output: AnswerTensor): Uint8Array {
  return npy.encode({ tensors: { output, logits: float32([1], [7]) }, envelope: { empty_rows: 0 } }).bytes;
}

test.each(OUTPUTS)('writes the output alone: $dtype $shape', (output) => {
  const bytes = encode(output);
  expect(bytes.buffer.byteLength).toBe(bytes.length);
  const descr = output.dtype === 'float32' ? '<f4' : '<f8';
  expect(parse(bytes)).toEqual({ descr, shape: output.shape, data: bytesOf(output.data) });
});

test.each([Number.NaN, Number.POSITIVE_INFINITY])('never lets %d leave as a number', (value) => {
  expect(() => encode(float32([2], [0, value]))).toThrow(`Element 1 of a result is ${value}`);
});

/** Debian's Python, to which its numpy belongs. */
const PYTHON = '/usr/bin/python3';
const hasNumpy = existsSync(PYTHON) && spawnSync(PYTHON, ['-c', 'import numpy']).status === 0;

describe.skipIf(!hasNumpy)('numpy', () => {
  const LOAD = `
import io, json, sys, numpy
array = numpy.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False)
print(json.dumps([array.dtype.str, array.shape, array.flags.c_contiguous, array.tobytes().hex()]))`;

  test.each(OUTPUTS)('loads it: $dtype $shape', (output) => {
    const { stdout, stderr } = spawnSync(PYTHON, ['-c', LOAD], { input: encode(output), encoding: 'utf8' });
    expect(stderr).toBe('');
    const hex = Buffer.from(bytesOf(output.data)).toString('hex');
    const dtype = output.dtype === 'float32' ? '<f4' : '<f8';
    expect(JSON.parse(stdout)).toEqual([dtype, output.shape, true, hex]);
  });
});
