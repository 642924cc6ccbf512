import { candidateFor } from './candidates.ts';
import { expectedResults, type Results, relativeError, TOLERANCE } from './check.ts';
import type { Contender, Family, Opened } from './contender.ts';
import { openEngine } from './engine.ts';
import { type Measurement, measure, type Rounds } from './measure.ts';
import { openOnnxRuntime } from './ort.ts';
import { openOurs, type StageTime, stageTimes } from './ours.ts';
import { openPeer, type Peer } from './peers.ts';
import type { Shape } from './shapes.ts';
import { type Inputs, makeCall, makeInputs } from './workload.ts';

const OURS: ReadonlySet<Family> = new Set(['ours', 'prepacked', 'fresh', 'engine']);

/** All that was measured of one shape with one number of threads. */
export interface Row {
  readonly shape: Shape;
  readonly threads: number;
  readonly measurements: readonly Measurement[];
}

export interface RowOptions extends Rounds {
  readonly kernel: string | undefined;
  readonly peers: readonly Peer[];
}

/** The kernel that computes a shape, if it is not to be the preferred one. */
export function kernelName(shape: Shape, options: Pick<RowOptions, 'kernel'>): string | undefined {
  return shape.kernel ?? options.kernel;
}

/** A shape with its numbers and what the reference computes of them, once for all numbers of threads. */
export class Bench {
  readonly #shape: Shape;
  readonly #inputs: Inputs;
  readonly #expected: Results;
  readonly #options: RowOptions;

  private constructor(shape: Shape, inputs: Inputs, expected: Results, options: RowOptions) {
    this.#shape = shape;
    this.#inputs = inputs;
    this.#expected = expected;
    this.#options = options;
  }

  static async prepare(shape: Shape, options: RowOptions): Promise<Bench> {
    const inputs = makeInputs(shape);
    return new Bench(shape, inputs, await expectedResults(shape, inputs), options);
  }

  /** Opens every contender, holds its results against the reference, then measures those that are right, and `others`. */
  async row(threads: number, others: readonly Contender[]): Promise<Row> {
    const opened: Opened[] = [];
    try {
      await this.#open(threads, opened);
      const contenders = [...others];
      for (const candidate of opened)
        if (await this.#isRight(candidate)) contenders.push(candidate.contender);
      return { shape: this.#shape, threads, measurements: await measure(contenders, this.#options) };
    } finally {
      for (const { contender } of opened) await contender.close?.();
      for (const other of others) await other.close?.();
    }
  }

  /** Time of every stage of our kernel; empty where no kernel computes the shape. */
  stages(rounds: number): StageTime[] {
    const call = makeCall(this.#shape, this.#inputs, this.#shape.precision);
    const kernel = candidateFor(call, kernelName(this.#shape, this.#options));
    return kernel === null ? [] : stageTimes(kernel, call, rounds);
  }

  async #open(threads: number, opened: Opened[]): Promise<void> {
    const call = makeCall(this.#shape, this.#inputs, this.#shape.precision);
    const name = kernelName(this.#shape, this.#options);
    const kernel = candidateFor(call, name);
    if (kernel === null) console.log(`  the kernel ${name} does not compute this call`);
    else {
      await openOurs(kernel, call, threads, opened);
      opened.push(await openEngine(kernel, call, threads));
    }
    if (this.#shape.precision !== 'float32' || this.#shape.kernel !== null) return;
    opened.push(...(await openOnnxRuntime(this.#shape, this.#inputs, threads)));
    for (const peer of this.#options.peers) {
      const candidate = await openPeer(peer, this.#shape, this.#inputs, threads);
      if (candidate !== null) opened.push(candidate);
    }
  }

  /** A wrong result of ours is an error; others are told and left out. */
  async #isRight({ contender: { name, family }, results }: Opened): Promise<boolean> {
    const error = relativeError(this.#expected, await results());
    const tolerance = TOLERANCE[this.#shape.precision];
    if (error <= tolerance) return true;
    const message = `${name}: relative error ${error.toExponential(1)}, more than ${tolerance}`;
    if (OURS.has(family)) throw new Error(message);
    console.log(`  ${message}; left out`);
    return false;
  }
}
