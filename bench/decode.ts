/**
 * Decoding steps: one token on its way through a session of 4096, beside reading the same bytes. By itself:
 * `node bench/decode.ts`.
 */
import { setImmediate } from 'node:timers/promises';
import { DEFAULT_LIMITS } from '../src/domain/limits.ts';
import { Engine, type Ticket } from '../src/engine/engine.ts';
import { Layers } from '../src/service/layers.ts';
import { Sessions } from '../src/service/sessions/sessions.ts';
import { MemoryStore } from '../src/store/memory.ts';
import { writeSafetensors } from '../src/wire/safetensors/write.ts';
import { median, minimum } from './measure.ts';
import { PeakMeter } from './peak.ts';

const WIDTH = 768;
const HEADS = 12;
const CACHE = 4096;
/** Appends between two readings, of all sessions together. New sessions take the next ones, so that none grows much. */
const STEPS = 200;
const TURNS = 5;
const LAYER = 'layer';
const FORMAT = 'safetensors';

const WEIGHT_BYTES = 4 * 4 * WIDTH * WIDTH;

/** Bytes of the cache of one of so many sessions, half way through its appends. */
const cacheBytes = (sessions: number) => 4 * 2 * (CACHE + STEPS / sessions / 2) * WIDTH;

/** What is decoded at a time. */
export interface DecodeLoad {
  readonly threads: number;
  readonly sessions: number;
}

/**
 * One session, whose weights and cache stay in the last cache of the processor as far as they fit; and several that
 * append at the same time, whose caches come from memory, as in a service that is in use.
 */
export const DECODE_LOADS: readonly DecodeLoad[] = [
  { threads: 1, sessions: 1 },
  { threads: 2, sessions: 1 },
  { threads: 1, sessions: 8 },
  { threads: 2, sessions: 8 },
];

export interface DecodeSpeed extends DecodeLoad {
  /** Milliseconds of a step: of one session each, of several the mean of a turn. */
  readonly samples: readonly number[];
  /**
   * The part of the speed at which as many bytes as all sessions have are read again and again, at the best and at the
   * median of either; null where that is not known.
   */
  readonly ofBandwidth: { readonly best: number; readonly median: number } | null;
}

/** Steps and readings take turns, so that what else happens on the machine meets both. */
export async function measureDecode(load: DecodeLoad, meter: PeakMeter | null): Promise<DecodeSpeed> {
  const { threads, sessions: count } = load;
  const sessions = await DecodingSessions.open(load);
  const stepBytes = WEIGHT_BYTES + cacheBytes(count);
  const allBytes = WEIGHT_BYTES + count * cacheBytes(count);
  const samples: number[] = [];
  for (let turn = 0; turn < TURNS; turn++) {
    await sessions.begin(count);
    samples.push(...(await sessions.turn(STEPS / count)));
    await meter?.measure(threads, allBytes);
  }
  await sessions.close();
  const share = (ms: number, gbps: number) => stepBytes / ms / 1e6 / gbps;
  const ofBandwidth = meter && {
    best: share(minimum(samples), meter.gbps(threads, allBytes)),
    median: share(median(samples), meter.usualGbps(threads, allBytes)),
  };
  return { ...load, samples, ofBandwidth };
}

/** Sessions of one layer. */
class DecodingSessions {
  readonly #engine: Engine;
  readonly #sessions: Sessions;
  readonly #ids: string[] = [];
  readonly #token = fileOf(['embeddings'], 1);
  readonly #prompt = fileOf(['embeddings'], CACHE);

  private constructor(engine: Engine, sessions: Sessions) {
    this.#engine = engine;
    this.#sessions = sessions;
  }

  static async open({ threads }: DecodeLoad): Promise<DecodingSessions> {
    const limits = { ...DEFAULT_LIMITS, sessionTokens: CACHE + STEPS };
    const engine = new Engine({ threads, limits });
    await engine.ready();
    const layers = new Layers(new MemoryStore(), engine, limits);
    const decoding = new DecodingSessions(engine, new Sessions(layers, limits));
    const file = {
      format: FORMAT,
      bytes: fileOf(['w_q', 'w_k', 'w_v', 'w_o'], WIDTH),
      upload: { heads: HEADS },
    };
    await decoding.#withTicket((ticket) =>
      layers.put(LAYER, file, ticket, { ifMatch: null, ifNoneMatch: null }),
    );
    return decoding;
  }

  /** Ends the sessions there are, and begins so many, full so far. */
  async begin(count: number): Promise<void> {
    for (const id of this.#ids.splice(0)) this.#sessions.end(id);
    for (let number = 0; number < count; number++) {
      const { session_id } = await this.#sessions.begin({ layer: LAYER });
      this.#ids.push(session_id);
      await this.#append(session_id, this.#prompt);
    }
  }

  /** Appends so many tokens to each session, in all of them at once. Milliseconds of a step, of one session one each. */
  async turn(steps: number): Promise<number[]> {
    const times: number[] = [];
    const startMs = performance.now();
    await Promise.all(
      this.#ids.map(async (id) => {
        for (let step = 0; step < steps; step++) {
          // Between two requests of a client there is a turn of the event loop.
          await setImmediate();
          const stepMs = performance.now();
          await this.#append(id, this.#token);
          times.push(performance.now() - stepMs);
        }
      }),
    );
    const ms = performance.now() - startMs;
    return this.#ids.length === 1 ? times : [ms / (steps * this.#ids.length)];
  }

  async close(): Promise<void> {
    this.#sessions.close();
    await this.#engine.close();
  }

  #append(id: string, bytes: Uint8Array): Promise<unknown> {
    const request = { format: FORMAT, bytes, answerFormat: FORMAT };
    return this.#withTicket((ticket) => this.#sessions.append(id, request, ticket));
  }

  async #withTicket<Result>(work: (ticket: Ticket) => Promise<Result>): Promise<Result> {
    const ticket = this.#engine.admit(0);
    try {
      return await work(ticket);
    } finally {
      ticket.release();
    }
  }
}

/** A file of matrices as wide as the layer, on shared memory. */
function fileOf(names: readonly string[], rows: number): Uint8Array {
  const tensor = (seed: number) => {
    const numbers = Float32Array.from({ length: rows * WIDTH }, (_, at) => Math.sin(at + seed) / 16);
    return { dtype: 'F32', shape: [rows, WIDTH], bytes: new Uint8Array(numbers.buffer) } as const;
  };
  const file = writeSafetensors(new Map(names.map((name, seed) => [name, tensor(seed)])));
  const shared = new Uint8Array(new SharedArrayBuffer(file.length));
  shared.set(file);
  return shared;
}

/** `64 % at the best, 50 % at the median`. */
export function shareOf({ ofBandwidth }: DecodeSpeed): string {
  const percent = (share: number) => `${(100 * share).toFixed(0)} %`;
  if (ofBandwidth === null) return 'not known';
  return `${percent(ofBandwidth.best)} at the best, ${percent(ofBandwidth.median)} at the median`;
}

if (import.meta.main) {
  const meter = await PeakMeter.build();
  console.log('| threads | sessions | step: minimum, median (ms) | of reading as much |\n|---|---|---|---|');
  for (const load of DECODE_LOADS) {
    const speed = await measureDecode(load, meter);
    const times = `${minimum(speed.samples).toFixed(2)}, ${median(speed.samples).toFixed(2)}`;
    console.log(`| ${load.threads} | ${load.sessions} | ${times} | ${shareOf(speed)} |`);
  }
  await meter?.close();
}
