/** What a thread keeps between requests; larger memory is given back. */
const KEPT_BYTES = 16 * 1024 * 1024;
const FIRST_COUNT = 4096;

interface Growable extends ArrayLike<number> {
  readonly byteLength: number;
  set(from: ArrayLike<number>): void;
}

/** Memory that grows as elements come in, and is used again for the next tensor. */
export class Scratch<Data extends Growable> {
  array: Data;
  readonly #allocate: (count: number) => Data;

  constructor(allocate: (count: number) => Data) {
    this.#allocate = allocate;
    this.array = allocate(FIRST_COUNT);
  }

  /** Twice as many elements; the old ones stay. Returns the new array. */
  grow(): Data {
    const grown = this.#allocate(this.array.length * 2);
    grown.set(this.array);
    this.array = grown;
    return grown;
  }

  /** Called when a request is done. */
  release(): void {
    if (this.array.byteLength > KEPT_BYTES) this.array = this.#allocate(FIRST_COUNT);
  }
}

export type ElementScratch = Scratch<Float32Array> | Scratch<Float64Array> | Scratch<Uint8Array>;
