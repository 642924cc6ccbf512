/** What the threads of a pool share about its runs, beside the progress of the job: one Int32Array. */
export const GENERATION = 0;
/** Whether the run of this generation still takes threads in, and how many are in it. */
export const OPEN = 1;
export const INSIDE = 2;
export const FAILED = 3;
const WORDS = 4;

export function createControl(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(WORDS * Int32Array.BYTES_PER_ELEMENT));
}

/** About a tenth of a millisecond: runs that follow each other find all threads awake, as those of other libraries do. */
const SPINS = 4000;

/** Waits until a word is no longer `value`: awake for a while, then asleep. */
export function waitWhile(control: Int32Array, word: number, value: number): void {
  for (let spin = 0; spin < SPINS; spin++) {
    if (Atomics.load(control, word) !== value) return;
    Atomics.pause();
  }
  while (Atomics.load(control, word) === value) Atomics.wait(control, word, value);
}
