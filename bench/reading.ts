import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Contender } from './contender.ts';

/**
 * Reads as many bytes as a shape reads, with as many threads, in turns with those who compute with theirs: so it finds
 * its bytes as near to the processor, or as far from it, as they do.
 */
export class Reading implements Contender {
  readonly name = 'reading';
  readonly family = 'reading';
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;

  /** `program` is peak.cc, compiled. */
  constructor(program: string, threads: number, bytes: number) {
    this.#process = spawn(program, [String(threads), String(bytes), 'turns']);
    this.#lines = createInterface(this.#process.stdout)[Symbol.asyncIterator]();
  }

  async sample(repeats: number): Promise<number> {
    this.#process.stdin.write(`${repeats}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error('The program that reads has ended.');
    return Number(value);
  }

  async close(): Promise<void> {
    const exited = once(this.#process, 'exit');
    this.#process.stdin.end();
    await exited;
  }
}
