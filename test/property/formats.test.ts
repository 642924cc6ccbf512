import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { operationNamed } from '../../src/contract/operations.ts';
import { DEFAULT_LIMITS } from '../../src/domain/limits.ts';
import type { Precision } from '../../src/domain/tensor.ts';
import { Engine } from '../../src/engine/engine.ts';
import type { Decoded } from '../../src/wire/format.ts';
import { json } from '../../src/wire/json/format.ts';
import { kserve } from '../../src/wire/kserve/format.ts';
import { safetensors } from '../../src/wire/safetensors/format.ts';
import { lending } from '../../src/wire/shared-memory.ts';
import { seeded } from '../support/random.ts';
import { shared, unpack } from '../support/safetensors.ts';
import { InferResult } from '../support/triton.ts';
import { mhaPlans, parameters, sdpaPlans } from './arbitraries.ts';
import { mhaBody, sdpaBody } from './bodies.ts';
import { type WireBody, wireBody } from './wire-bodies.ts';

/*
 * The same random call in JSON (nested, flat and base64), as a safetensors file and as an inference request (bytes, flat
 * and nested): all are decoded to the same tensors to the bit, and answered by the same numbers to the bit, in every
 * format of the response.
 */

let engine: Engine;
beforeAll(async () => {
  engine = new Engine({ threads: 1, limits: DEFAULT_LIMITS });
  await engine.ready();
});
afterAll(() => engine.close());

const precisions = fc.constantFrom<Precision[]>('float32', 'float32', 'float64', 'bfloat16');
const returns = fc.constantFrom(
  {},
  { weights: true, logits: 'masked', log_sum_exp: true, kv: true },
  { weights: { top_k: 1 }, log_sum_exp: true },
  { weights: { reduce: 'max' }, logits: 'raw' },
);

it('means the same in scaled dot-product attention', { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(sdpaPlans, precisions, returns, async (plan, precision, wanted) => {
      const body = { ...sdpaBody(plan, 'float64'), precision, return: wanted };
      await expectSame('scaled_dot_product_attention', body, plan.seed);
    }),
    parameters(250),
  );
});

it('means the same in multi-head attention', { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(mhaPlans, precisions, returns, async (plan, precision, wanted) => {
      const body = { ...mhaBody(plan, 'float64'), precision, return: wanted };
      await expectSame('multi_head_attention', body, plan.seed);
    }),
    parameters(250),
  );
});

async function expectSame(operation: string, body: object, seed: number): Promise<void> {
  const { fields } = operationNamed(operation);
  const sent = wireBody({ ...body, response: { encoding: 'base64' } }, fields, seeded(seed));
  const options = { fields, limits: DEFAULT_LIMITS };
  const decoded = json.decode(sent.json, options);
  expect(bitsOf(safetensors.decode(shared(sent.safetensors), options))).toEqual(bitsOf(decoded));
  const inference = { model: 'm', headerBytes: sent.headerBytes };
  const inferred = kserve.decode(shared(sent.kserve), { ...options, inference });
  expect(bitsOf(inferred)).toEqual(bitsOf(decoded));
  // On lent memory, which may hold anything, there is room for none of the tensors, some of them or all.
  for (const room of [7, sent.json.length >> 3, sent.json.length * 8]) {
    const block = new SharedArrayBuffer(room);
    new Uint8Array(block).fill(0xff);
    const lent = (decode: () => Decoded) => bitsOf(lending(block, decode));
    expect(lent(() => json.decode(sent.json, options))).toEqual(bitsOf(decoded));
    expect(lent(() => safetensors.decode(shared(sent.safetensors), options))).toEqual(bitsOf(decoded));
    expect(lent(() => kserve.decode(shared(sent.kserve), { ...options, inference }))).toEqual(
      bitsOf(decoded),
    );
  }

  const [fromJson, fromFile] = [
    await answers(operation, sent, 'json'),
    await answers(operation, sent, 'safetensors'),
  ];
  expect(fromFile).toEqual(fromJson);
  const { text, file, npy } = fromJson;
  const { parts, metadata } = unpack(file);
  expect(flattened({ ...text, ...JSON.parse(metadata.response) })).toEqual(flattened(text));
  const tensors = flattened(text);
  expect(Object.keys(parts).sort()).toEqual(Object.keys(tensors).sort());
  for (const [name, { bytes, shape }] of Object.entries(parts)) {
    expect({ shape, data: Buffer.from(bytes).toString('base64') }).toEqual(tensors[name]);
  }
  const result = await inferenceAnswer(operation, sent);
  expect(result.response.outputs.map(({ name }) => name).sort()).toEqual(Object.keys(parts).sort());
  for (const [name, { bytes, shape }] of Object.entries(parts)) {
    const { shape: got, bits } = result.asBytes(name);
    expect({ shape: got, bits: bits.toString('hex') }).toEqual({
      shape,
      bits: Buffer.from(bytes).toString('hex'),
    });
  }
  expect(Buffer.from(npy.subarray(npy.length - parts.output.bytes.length))).toEqual(
    Buffer.from(parts.output.bytes),
  );
}

/** Everything that was decoded, the elements as their bits. The dtype that a tensor was sent in is left out. */
function bitsOf({ envelope, tensors }: Decoded): object {
  const elements = Object.entries(tensors).map(([name, { shape, data }]) => {
    const bits = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex');
    return [name, { shape, type: data.constructor.name, bits }];
  });
  return { envelope, tensors: Object.fromEntries(elements) };
}

/** The answer to the body in one format, in each format of answers. */
async function answers(operation: string, sent: WireBody, format: 'json' | 'safetensors') {
  const ask = async (answerFormat: string) => {
    const bytes = shared(sent[format]);
    const ticket = engine.admit(bytes.length);
    try {
      return (await ticket.call({ operation, format, bytes, answerFormat })).bytes.slice();
    } finally {
      ticket.release();
    }
  };
  const text = JSON.parse(Buffer.from(await ask('json')).toString());
  return { text, file: await ask('safetensors'), npy: await ask('npy') };
}

/** The answer to the inference request, as clients read it. */
async function inferenceAnswer(
  operation: string,
  { kserve: body, headerBytes }: WireBody,
): Promise<InferResult> {
  const ticket = engine.admit(body.length);
  try {
    const encoded = await ticket.call({
      operation,
      format: 'kserve',
      bytes: shared(body),
      inference: { model: 'm', headerBytes },
      answerFormat: 'kserve',
    });
    return new InferResult(encoded.bytes.slice(), String(encoded.headerBytes));
  } finally {
    ticket.release();
  }
}

/** Tensors of a JSON answer in base64, by their dotted path. */
function flattened(answer: object, path = ''): Record<string, { shape: readonly number[]; data: string }> {
  return Object.assign(
    {},
    ...Object.entries(answer).map(([name, value]) => {
      const below = path === '' ? name : `${path}.${name}`;
      if (typeof value !== 'object' || value === null || Array.isArray(value)) return {};
      return 'data' in value
        ? { [below]: { shape: value.shape, data: value.data } }
        : flattened(value, below);
    }),
  );
}
