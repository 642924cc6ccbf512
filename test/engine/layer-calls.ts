import type { Layer } from '../../src/contract/layer.ts';
import { DEFAULT_LIMITS, type Limits } from '../../src/domain/limits.ts';
import { Problem } from '../../src/domain/problem.ts';
import { type CallRequest, Engine } from '../../src/engine/engine.ts';
import { lazily } from '../../src/engine/lazily.ts';
import { answerPrepared, prepare } from '../../src/engine/prepared-calls.ts';
import { decodeRequest } from '../../src/engine/request.ts';
import { Layers } from '../../src/service/layers.ts';
import { MemoryStore } from '../../src/store/memory.ts';
import { seeded } from '../support/random.ts';
import { bytesOf, pack, shared } from '../support/safetensors.ts';

/** What came of a call: its answer, a character for each byte, or the problem. */
export type Outcome = { readonly answer: string } | { readonly problem: object };

const UNCONDITIONAL = { ifMatch: null, ifNoneMatch: null };

/** A service's layers without its addresses: registered from JSON, read from a store, packed by an engine. */
export class TestLayers {
  readonly #engine: Engine;
  readonly #layers: Layers;

  constructor(engine: Engine, limits: Partial<Limits> = {}) {
    this.#engine = engine;
    this.#layers = new Layers(new MemoryStore(), engine, { ...DEFAULT_LIMITS, ...limits });
  }

  /** Registers a layer, in the place of what had its name, and opens it. */
  async put(name: string, body: object): Promise<Layer> {
    const bytes = shared(Buffer.from(JSON.stringify(body)));
    const ticket = this.#engine.admit(bytes.length);
    try {
      await this.#layers.put(name, { format: 'json', bytes, upload: null }, ticket, UNCONDITIONAL);
    } finally {
      ticket.release();
    }
    return this.#layers.open(name);
  }
}

/** An engine of one worker that is up, and the layers that it computes. */
export async function startEngine(): Promise<{ engine: Engine; layers: TestLayers }> {
  const engine = new Engine({ threads: 1, limits: DEFAULT_LIMITS });
  await engine.ready();
  return { engine, layers: new TestLayers(engine) };
}

/** The same layer to every kernel, and one that has never been called to whoever keeps calls by it. */
export function asNew(layer: Layer): Layer {
  return { ...layer, packed: { ...layer.packed } };
}

export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

export async function outcomeOf(run: () => Uint8Array | Promise<Uint8Array>): Promise<Outcome> {
  try {
    return { answer: textOf(await run()) };
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return { problem: error.toData() };
  }
}

/** Sends a call through an engine. */
export function outcomeBy(engine: Engine, request: CallRequest): Promise<Outcome> {
  return outcomeOf(async () => {
    const ticket = engine.admit(request.bytes.length);
    try {
      return (await ticket.call(request)).bytes;
    } finally {
      ticket.release();
    }
  });
}

/**
 * Answers a call that has been prepared, however much arithmetic it takes, and prepares it where it has not. Whether an
 * engine does so hangs on how fast its kernels have been lately.
 */
export function keptAnswer(engine: Engine, request: CallRequest, limits = DEFAULT_LIMITS): Uint8Array | null {
  const decoded = lazily(() => decodeRequest(request, limits));
  const answer = answerPrepared(request, decoded, () => ({
    mostFlops: Number.POSITIVE_INFINITY,
    idleThreads: 0,
  }));
  if (answer !== null) return answer.encoded.bytes;
  prepare(request, decoded(), { limits }, (call) => engine.kernelOf(call));
  return null;
}

/** Tokens of a call by the name of their field. */
export type Tokens = Readonly<
  Record<string, { readonly shape: readonly number[]; readonly numbers: number[] }>
>;

/** Random tokens of these shapes. */
export function tokensOf(shapes: Readonly<Record<string, readonly number[]>>, seed: number): Tokens {
  const random = seeded(seed);
  const fields = Object.entries(shapes).map(([name, shape]) => {
    const count = shape.reduce((product, size) => product * size, 1);
    return [name, { shape, numbers: Array.from({ length: count }, () => random.normal()) }] as const;
  });
  return Object.fromEntries(fields);
}

export const STORED_TYPES = {
  F32: (numbers: number[]) => bytesOf(Float32Array.from(numbers)),
  F64: (numbers: number[]) => bytesOf(Float64Array.from(numbers)),
  F16: (numbers: number[]) => bytesOf(Float16Array.from(numbers)),
  BF16: (numbers: number[]) => {
    const words = new Uint32Array(Float32Array.from(numbers).buffer);
    return bytesOf(Uint16Array.from(words, (bits) => bits >>> 16));
  },
} as const;
export type StoredType = keyof typeof STORED_TYPES;

/** How a call of a layer is written, and its answer. */
export interface Way {
  readonly format: 'safetensors' | 'json' | 'kserve';
  readonly answerFormat: 'safetensors' | 'json' | 'npy' | 'kserve';
}

export const WAYS: readonly Way[] = [
  ...(['safetensors', 'json'] as const).flatMap((format) =>
    (['safetensors', 'json', 'npy'] as const).map((answerFormat) => ({ format, answerFormat })),
  ),
  { format: 'kserve', answerFormat: 'kserve' },
];

/** A call of a layer with these tokens and options. In a file the tokens are of the type `stored`. */
export function layerCall(
  layer: Layer,
  { format, answerFormat }: Way,
  tokens: Tokens,
  options: object = {},
  stored: StoredType = 'F32',
): CallRequest {
  const call = { operation: 'layer_attention', layer, format, answerFormat };
  const entries = Object.entries(tokens);
  if (format === 'json') {
    const fields = entries.map(([name, { shape, numbers }]) => [name, { shape, data: numbers }]);
    return { ...call, bytes: Buffer.from(JSON.stringify({ ...Object.fromEntries(fields), ...options })) };
  }
  if (format === 'safetensors') {
    const parts = entries.map(([name, { shape, numbers }]) => {
      return [name, { dtype: stored, shape, bytes: STORED_TYPES[stored](numbers) }];
    });
    return { ...call, bytes: pack(Object.fromEntries(parts), { request: JSON.stringify(options) }) };
  }
  const inputs = entries.map(([name, { shape, numbers }]) => {
    return { name, datatype: 'FP32', shape, parameters: { binary_data_size: 4 * numbers.length } };
  });
  const given = Object.entries(options).map(([name, value]) => {
    return [name, typeof value === 'object' ? JSON.stringify(value) : value];
  });
  const parameters = { binary_data_output: true, ...Object.fromEntries(given) };
  const head = Buffer.from(JSON.stringify({ parameters, inputs }));
  const bytes = Buffer.concat([head, ...entries.map(([, { numbers }]) => STORED_TYPES.F32(numbers))]);
  return { ...call, bytes, inference: { model: layer.name, version: '1', headerBytes: head.length } };
}
