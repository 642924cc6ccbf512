/** Someone who computes a shape. Measures itself, so that no way of asking is measured with it. */
export interface Contender {
  readonly name: string;
  /** Contenders of one family are ways of doing the same; the best of them counts. */
  readonly family: Family;
  /** Computes `repeats` times and returns the mean milliseconds. */
  sample(repeats: number): number | Promise<number>;
  close?(): void | Promise<void>;
}

/**
 * `ours`: the whole job, weights packed again every time. `prepacked`: the same job without the packing of its weights,
 * as with a registered layer, and as ONNX Runtime does once when a session opens. `fresh`: from the call on, with a new
 * plan and new memory every time, in one thread. `engine`: from the call on through the service's engine: plan, memory,
 * queue and threads. `onnxruntime, weights given`: with weights that come along, as those of `ours`, `fresh` and `engine`
 * do. `session.run()`: ONNX Runtime as its package offers it, behind a promise. `reading`: computes nothing, and reads as
 * many bytes.
 */
export type Family =
  | 'ours'
  | 'prepacked'
  | 'fresh'
  | 'engine'
  | 'onnxruntime'
  | 'onnxruntime, weights given'
  | 'session.run()'
  | 'torch'
  | 'numpy'
  | 'reading';

/** A sample of something synchronous. */
export function timed(repeats: number, run: () => void): number {
  const start = performance.now();
  for (let count = 0; count < repeats; count++) run();
  return (performance.now() - start) / repeats;
}

/** A contender and its results, to be held against the reference before anything is timed. */
export interface Opened {
  readonly contender: Contender;
  /** By name as in workload.ts, in the order of the reference's results. */
  results():
    | Promise<Readonly<Record<string, ArrayLike<number>>>>
    | Readonly<Record<string, ArrayLike<number>>>;
}
