import type { ModelStatistics } from '../contract/schemas/inference.ts';
import type { Timings } from '../engine/engine.ts';
import { MODEL_VERSION } from './models.ts';

type Duration = ModelStatistics['inference_stats']['success'];
type BatchStatistics = ModelStatistics['batch_stats'][number];

/** Batch sizes that are told apart for each model; of more only the sums are kept. */
const MOST_BATCH_SIZES = 256;

/** What became of one request that was answered. */
export interface Inference {
  /** Samples of the batch. */
  readonly batch: number;
  readonly totalMs: number;
  readonly timings: Timings;
}

/** Counts what each model has done, since this instance started. */
export class Statistics {
  readonly #models = new Map<string, Writable<ModelStatistics>>();

  succeeded(model: string, { batch, totalMs, timings }: Inference): void {
    const statistics = this.#of(model);
    const { inference_stats: stats, batch_stats: batches } = statistics;
    statistics.last_inference = Date.now();
    statistics.inference_count += batch;
    statistics.execution_count++;
    add(stats.success, totalMs);
    add(stats.queue, timings.queueMs);
    addCompute(stats, timings);
    const known = batches.find(({ batch_size }) => batch_size === batch);
    if (known !== undefined) addCompute(known, timings);
    else if (batches.length < MOST_BATCH_SIZES) {
      const row: BatchStatistics = { batch_size: batch, ...noCompute() };
      addCompute(row, timings);
      batches.push(row);
    }
  }

  failed(model: string, totalMs: number): void {
    const statistics = this.#of(model);
    statistics.last_inference = Date.now();
    add(statistics.inference_stats.fail, totalMs);
  }

  of(model: string): ModelStatistics {
    return this.#of(model);
  }

  #of(name: string): Writable<ModelStatistics> {
    let statistics = this.#models.get(name);
    if (statistics === undefined) {
      statistics = {
        name,
        version: MODEL_VERSION,
        last_inference: 0,
        inference_count: 0,
        execution_count: 0,
        inference_stats: { success: none(), fail: none(), queue: none(), ...noCompute() },
        batch_stats: [],
      };
      this.#models.set(name, statistics);
    }
    return statistics;
  }
}

type Writable<Value> = { -readonly [Name in keyof Value]: Value[Name] };

function none(): Duration {
  return { count: 0, ns: 0 };
}

function noCompute() {
  return { compute_input: none(), compute_infer: none(), compute_output: none() };
}

function addCompute(stats: ReturnType<typeof noCompute>, { decodeMs, computeMs, encodeMs }: Timings): void {
  add(stats.compute_input, decodeMs);
  add(stats.compute_infer, computeMs);
  add(stats.compute_output, encodeMs);
}

function add(duration: Duration, ms: number): void {
  duration.count++;
  duration.ns += Math.round(ms * 1e6);
}
