import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export interface LoadRequest {
  readonly port: number;
  /** The bytes that every connection sends again and again. */
  readonly request: Uint8Array;
  readonly concurrency: number;
  /** Seconds before times are taken. */
  readonly warmUp: number;
  /** Seconds of the measurement; longer where each connection has not had two answers by then. */
  readonly seconds: number;
  /** Every connection asks once, without a warm-up. */
  readonly once: boolean;
}

/** Times in milliseconds, from before the first byte is sent until the last one of the answer has come. */
export interface Load {
  readonly requestsPerSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /** Processors that the generator itself used, 1 being one of them all the time. */
  readonly cpu: number;
}

export type LoadAnswer = Load | { readonly error: string };

const SCRIPT = fileURLToPath(new URL('load.ts', import.meta.url));

/** The load generator, in a process of its own. */
export class Generator {
  // Room for some thousand requests before the young generation is collected.
  readonly #process: ChildProcess = fork(SCRIPT, {
    serialization: 'advanced',
    execArgv: ['--max-semi-space-size=64'],
  });

  /** @throws what went wrong with a request, such as an answer other than 200. */
  async run(request: LoadRequest): Promise<Load> {
    this.#process.send(request);
    const [answer] = (await once(this.#process, 'message')) as [LoadAnswer];
    if ('error' in answer) throw new Error(answer.error);
    return answer;
  }

  async close(): Promise<void> {
    this.#process.disconnect();
    if (this.#process.exitCode === null) await once(this.#process, 'exit');
  }
}
