import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { median } from './measure.ts';
import { Reading } from './reading.ts';

const run = promisify(execFile);
const SOURCE = fileURLToPath(new URL('peak.cc', import.meta.url));
const OPTIONS = ['-O3', '-march=native', '-ffp-contract=fast', '-pthread'];
const WIDEST = process.arch === 'x64' ? ['-mprefer-vector-width=512'] : [];

/** The limits of the machine: float32 FMA in 10^9 operations, and reading in 10^9 bytes, a second. */
export interface PeakRates {
  readonly gflops: number;
  /** On vectors of 128 bits, which are all that WebAssembly has. */
  readonly gflops128: number;
  readonly gbps: number;
}

interface Measured extends PeakRates {
  /** The median of reading, where `gbps` is the best. */
  readonly usualGbps: number;
}

/** Measures the machine whenever asked, and keeps the best that was seen: noise only takes away. */
export class PeakMeter {
  readonly #directory: string;
  readonly #best = new Map<string, PeakRates>();
  readonly #usual = new Map<string, number[]>();

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** null, and a line that says so, where there is no C++ compiler. */
  static async build(): Promise<PeakMeter | null> {
    const directory = await mkdtemp(join(tmpdir(), 'attention-bench-'));
    try {
      const compiler = process.env.CXX || 'g++';
      await run(compiler, [...OPTIONS, ...WIDEST, SOURCE, '-o', join(directory, 'peak')]);
      return new PeakMeter(directory);
    } catch (error) {
      console.log(`The peak is not measured: ${(error as Error).message.split('\n')[0]}`);
      await rm(directory, { recursive: true });
      return null;
    }
  }

  /** Measures once more; `bytes` is how much is read over and over. */
  async measure(threads: number, bytes: number): Promise<PeakRates> {
    const { stdout } = await run(join(this.#directory, 'peak'), [String(threads), String(bytes)]);
    const now = JSON.parse(stdout) as Measured;
    const key = `${threads} ${bytes}`;
    const before = this.#best.get(key) ?? { gflops: 0, gflops128: 0, gbps: 0 };
    this.#usual.set(key, [...(this.#usual.get(key) ?? []), now.usualGbps]);
    const best = {
      gflops: Math.max(now.gflops, before.gflops),
      gflops128: Math.max(now.gflops128, before.gflops128),
      gbps: Math.max(now.gbps, before.gbps),
    };
    this.#best.set(key, best);
    return best;
  }

  /** Somebody who reads so many bytes when it is his turn. */
  reading(threads: number, bytes: number): Reading {
    return new Reading(join(this.#directory, 'peak'), threads, bytes);
  }

  /** Best arithmetic rate of all measurements with so many threads, on the widest vectors or on those of 128 bits. */
  arithmetic(threads: number, vectors: 'gflops' | 'gflops128'): number {
    const rates = [...this.#best].filter(([key]) => key.startsWith(`${threads} `));
    return Math.max(...rates.map(([, best]) => best[vectors]));
  }

  /** Best reading rate for so many threads and bytes. */
  gbps(threads: number, bytes: number): number {
    return this.#best.get(`${threads} ${bytes}`)!.gbps;
  }

  /** Median reading rate for so many threads and bytes. */
  usualGbps(threads: number, bytes: number): number {
    return median(this.#usual.get(`${threads} ${bytes}`)!);
  }

  async close(): Promise<void> {
    await rm(this.#directory, { recursive: true });
  }
}
