import { DEFAULT_LIMITS, type Limits } from '../../../src/domain/limits.ts';
import { Engine, type Ticket } from '../../../src/engine/engine.ts';
import { Layers } from '../../../src/service/layers.ts';
import { Sessions } from '../../../src/service/sessions/sessions.ts';
import { MemoryStore } from '../../../src/store/memory.ts';
import { seeded } from '../../support/random.ts';

/** Width of the tokens of every layer here. */
export const WIDTH = 64;
/** Key and value of a token, in float32. */
export const TOKEN_BYTES = 2 * WIDTH * 4;

/** Sessions on an engine of their own, and a clock that stands still until it is set. */
export interface Place {
  readonly engine: Engine;
  readonly sessions: Sessions;
  readonly clock: { nowMs: number };
  begin(layer?: string): Promise<string>;
  /** Appends random tokens, the same for the same seed, by a ticket of its own or the one given. */
  append(id: string, count: number, options?: AppendOptions): Promise<Appended>;
  positionOf(id: string): Promise<number>;
}

export interface AppendOptions {
  readonly seed?: number;
  readonly expectedPosition?: number;
  /** Released by whoever gives it. */
  readonly ticket?: Ticket;
}

export interface Appended {
  readonly position: number;
  readonly output: number[][];
}

export interface PlaceOptions {
  readonly threads?: number;
  readonly kernel?: string;
  readonly limits?: Partial<Limits>;
}

/** One that sees every token before, one that sees eight of them, one that takes its time. */
const LAYERS: Readonly<Record<string, object>> = {
  all: {},
  window: { window: { left: 8 } },
  slow: { precision: 'float64' },
};

/** Gives a test sessions on three layers, and ends them. */
export async function withSessions(
  options: PlaceOptions,
  test: (place: Place) => Promise<void>,
): Promise<void> {
  const limits: Limits = { ...DEFAULT_LIMITS, ...options.limits };
  const engine = new Engine({ threads: options.threads ?? 1, limits, kernel: options.kernel });
  await engine.ready();
  const layers = new Layers(new MemoryStore(), engine, limits);
  for (const [name, more] of Object.entries(LAYERS)) await register(layers, engine, name, more);
  const clock = { nowMs: 0 };
  const sessions = new Sessions(layers, limits, () => clock.nowMs);
  await test({
    engine,
    sessions,
    clock,
    begin: async (layer = 'all') => (await sessions.begin({ layer })).session_id,
    append: async (id, count, { seed = 1, expectedPosition, ticket } = {}) => {
      const used = ticket ?? engine.admit(0);
      const body = {
        embeddings: encoded(seed, count),
        ...(expectedPosition === undefined ? {} : { expected_position: expectedPosition }),
      };
      const request = { format: 'json', bytes: shared(JSON.stringify(body)), answerFormat: 'json' };
      try {
        const { bytes } = await sessions.append(id, request, used);
        return JSON.parse(Buffer.from(bytes).toString());
      } finally {
        if (ticket === undefined) used.release();
      }
    },
    positionOf: async (id) => (await sessions.find(id)).position,
  });
  sessions.close();
  await engine.close();
}

async function register(layers: Layers, engine: Engine, name: string, more: object): Promise<void> {
  const [w_q, w_k, w_v, w_o] = [1, 2, 3, 4].map((seed) => encoded(seed, WIDTH, 1 / 8));
  const body = { heads: 4, projections: { w_q, w_k, w_v, w_o }, ...more };
  const ticket = engine.admit(0);
  const request = { format: 'json', bytes: shared(JSON.stringify(body)), upload: null };
  await layers.put(name, request, ticket, { ifMatch: null, ifNoneMatch: null });
  ticket.release();
}

export function encoded(seed: number, rows: number, size = 1): object {
  const random = seeded(seed);
  const numbers = Float32Array.from({ length: rows * WIDTH }, () => size * random.normal());
  return { dtype: 'float32', shape: [rows, WIDTH], data: Buffer.from(numbers.buffer).toString('base64') };
}

export function shared(text: string): Uint8Array {
  const bytes = Buffer.from(text);
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length));
  copy.set(bytes);
  return copy;
}
