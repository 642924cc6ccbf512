/**
 * A decoding step: one token on its way through a session of 4096, beside reading the same bytes over and over. By
 * itself: `node bench/decode.ts`.
 */
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
const STEPS = 200;
const TURNS = 5;

/** What a step cannot do without reading: four matrices, and the keys and values of all tokens. */
export const STEP_BYTES = 4 * (4 * WIDTH * WIDTH + 2 * CACHE * WIDTH);

export interface DecodeSpeed {
  readonly threads: number;
  /** Milliseconds of each step, from its bytes to those of its answer. */
  readonly samples: readonly number[];
  /** Of the least step: the part of the speed at which memory is read again and again; null where that is not known. */
  readonly ofBandwidth: number | null;
}

/** Steps and readings take turns, so that what else happens on the machine meets both. */
export async function measureDecode(threads: number, meter: PeakMeter | null): Promise<DecodeSpeed> {
  const limits = { ...DEFAULT_LIMITS, sessionTokens: CACHE + STEPS * TURNS + 1 };
  const engine = new Engine({ threads, limits });
  await engine.ready();
  const layers = new Layers(new MemoryStore(), engine, limits);
  const sessions = new Sessions(layers, limits);
  const withTicket = async <Result>(work: (ticket: Ticket) => Promise<Result>): Promise<Result> => {
    const ticket = engine.admit(0);
    try {
      return await work(ticket);
    } finally {
      ticket.release();
    }
  };
  const format = 'safetensors';
  const upload = { heads: HEADS };
  await withTicket((ticket) =>
    layers.put(
      'layer',
      { format, bytes: shared(fileOf(['w_q', 'w_k', 'w_v', 'w_o'], WIDTH)), upload },
      ticket,
      {
        ifMatch: null,
        ifNoneMatch: null,
      },
    ),
  );
  const { session_id } = await sessions.begin({ layer: 'layer' });
  const append = (bytes: Uint8Array) =>
    withTicket((ticket) => sessions.append(session_id, { format, bytes, answerFormat: format }, ticket));
  await append(shared(fileOf(['embeddings'], CACHE)));

  const token = shared(fileOf(['embeddings'], 1));
  const samples: number[] = [];
  for (let turn = 0; turn < TURNS; turn++) {
    for (let step = 0; step < STEPS; step++) {
      const startMs = performance.now();
      await append(token);
      samples.push(performance.now() - startMs);
    }
    await meter?.measure(threads, STEP_BYTES);
  }
  sessions.close();
  await engine.close();
  const gbps = STEP_BYTES / minimum(samples) / 1e6;
  return { threads, samples, ofBandwidth: meter && gbps / meter.gbps(threads, STEP_BYTES) };
}

/** A file of matrices as wide as the layer. */
function fileOf(names: readonly string[], rows: number): Uint8Array {
  const tensor = (seed: number) => {
    const numbers = Float32Array.from({ length: rows * WIDTH }, (_, at) => Math.sin(at + seed) / 16);
    return { dtype: 'F32', shape: [rows, WIDTH], bytes: new Uint8Array(numbers.buffer) } as const;
  };
  return writeSafetensors(new Map(names.map((name, seed) => [name, tensor(seed)])));
}

function shared(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.length));
  copy.set(bytes);
  return copy;
}

if (import.meta.main) {
  const meter = await PeakMeter.build();
  console.log('| threads | step: minimum, median (ms) | of re-read bandwidth |\n|---|---|---|');
  for (const threads of [1, 2]) {
    const { samples, ofBandwidth } = await measureDecode(threads, meter);
    const share = ofBandwidth === null ? 'not known' : `${(100 * ofBandwidth).toFixed(0)} %`;
    console.log(`| ${threads} | ${minimum(samples).toFixed(2)}, ${median(samples).toFixed(2)} | ${share} |`);
  }
  await meter?.close();
}
