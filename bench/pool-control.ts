/** What the threads of a pool share: one Int32Array, first these words and then, for every stage, two more. */
export const GENERATION = 0;
export const FINISHED = 1;
export const FAILED = 2;
const STAGES = 3;

/** The next tile of a stage to be taken; the threads that have no more of it to do. */
export const nextTile = (stage: number) => STAGES + 2 * stage;
export const arrived = (stage: number) => STAGES + 2 * stage + 1;

export function createControl(stages: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(4 * (STAGES + 2 * stages)));
}

const SPINS = 2000;

/** Waits until a word is no longer `value`: some microseconds awake, since that is what a stage's last tile takes. */
export function waitWhile(control: Int32Array, word: number, value: number): void {
  for (let spin = 0; spin < SPINS; spin++) if (Atomics.load(control, word) !== value) return;
  while (Atomics.load(control, word) === value) Atomics.wait(control, word, value);
}
