import { expect } from 'vitest';
import { DEFAULT_LIMITS } from '../../../src/domain/limits.ts';
import { Problem } from '../../../src/domain/problem.ts';
import type { Decoded } from '../../../src/wire/format.ts';
import { decodeInference } from '../../../src/wire/kserve/decode.ts';
import type { Random } from '../../support/random.ts';
import { SDPA_FIELDS } from './helpers.ts';

/** An inference request as it comes: its body, and the length that its header tells, if any. */
export interface SentBody {
  readonly body: Uint8Array;
  readonly headerBytes: number | undefined;
}

const pick = <Value>(random: Random, from: readonly Value[]): Value => from[random.below(from.length)];

/** Size of an element, how it is read and written, and what the numbers are. */
const DATATYPES = {
  FP32: { size: 4, get: 'getFloat32', whole: false },
  FP64: { size: 8, get: 'getFloat64', whole: false },
  FP16: { size: 2, get: 'getFloat16', whole: false },
  BOOL: { size: 1, get: 'getUint8', whole: true },
  INT8: { size: 1, get: 'getInt8', whole: true },
  INT16: { size: 2, get: 'getInt16', whole: true },
  INT32: { size: 4, get: 'getInt32', whole: true },
  INT64: { size: 8, get: 'getBigInt64', whole: true },
  UINT8: { size: 1, get: 'getUint8', whole: true },
  UINT16: { size: 2, get: 'getUint16', whole: true },
  UINT32: { size: 4, get: 'getUint32', whole: true },
  UINT64: { size: 8, get: 'getBigUint64', whole: true },
} as const;
type Datatype = keyof typeof DATATYPES;

const NAMES = ['query', 'key', 'value', 'bias', 'rope.positions', 'positions', 'key_lengths', 'allow_mask'];
const PARAMETERS = [
  {},
  { heads: 2, causal: true },
  { return: '{"weights":{"top_k":1}}', binary_data_output: true },
  { rope: '{"pairing":"half"}', 'rope.theta': 100, timeout: 5 },
];
const OUTPUTS = [
  undefined,
  [],
  [{ name: 'output' }],
  [{ name: 'weights', parameters: { binary_data: true } }],
];

/** A small request that is one more often than not. */
export function wholeBody(random: Random): SentBody {
  const parts: Uint8Array[] = [];
  const inputs = Array.from({ length: 1 + random.below(3) }, () => {
    const name = pick(random, NAMES);
    const datatype: Datatype =
      name === 'allow_mask' ? 'BOOL' : pick(random, Object.keys(DATATYPES) as Datatype[]);
    const shape = Array.from({ length: 1 + random.below(3) }, () => random.below(4));
    const count = shape.reduce((product, size) => product * size, 1);
    const { size, whole } = DATATYPES[datatype];
    if (random.uniform() < 0.5) {
      const bytes = new Uint8Array(count * size);
      for (let at = 0; at < bytes.length; at += size) bytes[at] = random.below(2);
      parts.push(bytes);
      return { name, shape, datatype, parameters: { binary_data_size: bytes.length } };
    }
    // Exact in every datatype: the reference below rounds twice.
    const data = Array.from({ length: count }, () =>
      whole ? random.below(2) : random.below(2048) / 256 - 4,
    );
    return { name, data: random.uniform() < 0.5 ? data : nest(data, shape), datatype, shape };
  });
  const request = { id: 'a', inputs, parameters: pick(random, PARAMETERS), outputs: pick(random, OUTPUTS) };
  const json = Buffer.from(JSON.stringify(request) + ' '.repeat(random.below(3)));
  const isMixed = parts.length > 0 || random.uniform() < 0.5;
  return { body: Buffer.concat([json, ...parts]), headerBytes: isMixed ? json.length : undefined };
}

function nest(data: readonly number[], shape: readonly number[]): unknown {
  if (shape.length <= 1) return data;
  const [rows, ...rest] = shape;
  const width = data.length / rows || 0;
  return Array.from({ length: rows }, (_, row) => nest(data.slice(row * width, (row + 1) * width), rest));
}

/** What is written into a body: its own words in other places, and numbers at the edges. */
const PIECES = [
  ...[
    '0',
    '1',
    '-1',
    '1.5',
    '1e400',
    '9007199254740993',
    '18446744073709551616',
    'NaN',
    'null',
    'true',
    '"a"',
  ],
  ...['[', ']', '[[', ']]', '{', '}', ',', ':', '"', '\\', ' ', '[]', '{}', '\u0000', 'é', '\ud83d\ude00'],
  ...[
    '"name":"query"',
    '"datatype":"FP16"',
    '"datatype":"BYTES"',
    '"shape":[2]',
    '"data":[1,2]',
    '"inputs":[]',
  ],
  ...['"parameters":{"binary_data_size":4}', '"__proto__":{}', '"constructor":1', '"data":[[1],[2]]'],
];

/** A body with something else in it, cut, doubled, or with another length of its JSON. */
export function damagedBody(random: Random): SentBody {
  let { body, headerBytes } = wholeBody(random);
  for (let count = random.uniform() < 0.7 ? 1 : 2 + random.below(2); count > 0; count--) {
    const at = random.below(body.length + 1);
    const to = Math.min(body.length, at + random.below(12));
    const way = random.below(6);
    if (way === 0) body = body.slice(0, at);
    else if (way === 1) body = Buffer.concat([body.subarray(0, at), body.subarray(to)]);
    else if (way === 2) body = Buffer.concat([body.subarray(0, to), body.subarray(at)]);
    else if (way === 3) headerBytes = pick(random, [undefined, 0, at, body.length, body.length + 1, 2 ** 40]);
    else if (way === 4) body = Buffer.concat([body, Buffer.alloc(random.below(9))]);
    else {
      const piece =
        random.uniform() < 0.7 ? Buffer.from(pick(random, PIECES)) : Uint8Array.of(random.below(256));
      const rest = random.uniform() < 0.5 ? at : Math.min(body.length, at + piece.length);
      if (headerBytes !== undefined && random.uniform() < 0.7 && at <= headerBytes) {
        headerBytes += piece.length - (rest - at);
      }
      body = Buffer.concat([body.subarray(0, at), piece, body.subarray(rest)]);
    }
  }
  return { body, headerBytes };
}

/** Whether it was decoded, and then to what its text and bytes say; a Problem of the client's is a refusal. */
export function decodesRightOrRefuses({ body, headerBytes }: SentBody): boolean {
  const bytes = new Uint8Array(new SharedArrayBuffer(body.length));
  bytes.set(body);
  let decoded: Decoded;
  try {
    decoded = decodeInference(bytes, {
      fields: SDPA_FIELDS,
      limits: DEFAULT_LIMITS,
      inference: { model: 'm', headerBytes },
    });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.status < 400 || error.status >= 500 || error.message === '') throw error;
    return false;
  }
  expectRight(decoded, body, headerBytes);
  return true;
}

// biome-ignore lint/suspicious/noExplicitAny: what was accepted is read here without a schema.
type Any = any;

/** Reads the body again, plainly: JSON.parse, and a DataView on what is behind. */
function expectRight({ tensors }: Decoded, body: Uint8Array, headerBytes = body.length): void {
  const request: Any = JSON.parse(Buffer.from(body.subarray(0, headerBytes)).toString());
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  let at = headerBytes;
  const seen = request.inputs.map(({ name, shape, datatype, parameters, data }: Any) => {
    const { size, get, whole } = DATATYPES[datatype as Datatype];
    const count = shape.reduce((product: number, one: number) => product * one, 1);
    const path = name === 'positions' ? 'rope.positions' : name;
    const isExact = path === 'rope.positions' || path === 'key_lengths';
    let values: number[];
    if (data === undefined) {
      expect(parameters.binary_data_size + 0).toBe(count * size); // Of no bytes, -0 says as much as 0.
      values = Array.from({ length: count }, (_, index) =>
        Number((view as Any)[get](at + index * size, true)),
      );
      at += count * size;
    } else {
      values = data.flat(Number.POSITIVE_INFINITY).map(Number);
      if (datatype === 'FP32') values = values.map(Math.fround);
    }
    if (whole) {
      expect(values.every(Number.isSafeInteger)).toBe(true);
      values = values.map((value) => value + 0); // The integers know one zero.
    }
    const isWide = isExact || /"precision":"float64"/.test(JSON.stringify(request.parameters ?? {}));
    if (!isWide && path !== 'allow_mask') values = values.map(Math.fround);
    expect({ shape: tensors[path].shape, values: [...tensors[path].data] }).toEqual({ shape, values });
    return path;
  });
  expect(at).toBe(body.length);
  expect(Object.keys(tensors).sort()).toEqual(seen.sort());
}
