/**
 * Working memory of one thread that grows to the largest size asked for and is kept, so that tiles allocate nothing.
 * Its contents are whatever the last user left.
 */
export class Scratch {
  #data = new Float64Array(0);

  /** At least `elements` float64 numbers. */
  take(elements: number): Float64Array {
    if (this.#data.length < elements) this.#data = new Float64Array(Math.ceil(elements * 1.25));
    return this.#data;
  }
}
