import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { LoopDelay } from './loop-delay.ts';

export interface Command {
  readonly arguments: readonly string[];
  /** What runs them; the Node of this process where not given, and then the event loop can be watched. */
  readonly program?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Answers 200 once requests may come. */
  readonly readyPath: string;
}

const READY_WITHIN_MS = 120_000;
const STOPPED_WITHIN_MS = 10_000;
const POLL_MS = 50;
const WATCHED = ['--import', new URL('loop-delay.ts', import.meta.url).href];

/** A service under test. */
export class ServiceProcess {
  readonly port: number;
  readonly readyPath: string;
  /** Whether its event loop can be watched. */
  readonly watched: boolean;
  readonly #process: ChildProcess;
  #stopping = false;

  /** Starts it with PORT set, and waits until it is ready. */
  static async start(command: Command): Promise<ServiceProcess> {
    const service = new ServiceProcess(command, await freePort());
    try {
      await service.#ready();
    } catch (error) {
      await service.stop();
      throw error;
    }
    return service;
  }

  private constructor({ program, arguments: list, environment, readyPath }: Command, port: number) {
    this.port = port;
    this.readyPath = readyPath;
    this.watched = program === undefined;
    this.#process = spawn(program ?? process.execPath, this.watched ? [...WATCHED, ...list] : list, {
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
      env: { ...process.env, ...environment, PORT: String(port) },
      stdio: ['ignore', 'inherit', 'inherit', ...(this.watched ? ['ipc' as const] : [])],
    });
    this.#process.on('exit', (code, signal) => {
      if (!this.#stopping) console.error(`  ${list.join(' ')} has ended: ${signal ?? `status ${code}`}`);
    });
  }

  /** Begins to watch the event loop. */
  watchLoop(): void {
    this.#process.send('watch');
  }

  /** What was seen since. */
  async loopDelay(): Promise<LoopDelay> {
    this.#process.send('report');
    const [delay] = (await once(this.#process, 'message')) as [LoopDelay];
    return delay;
  }

  async stop(): Promise<void> {
    if (this.#ended) return;
    this.#stopping = true;
    const ended = once(this.#process, 'exit');
    this.#process.kill('SIGTERM');
    const killer = setTimeout(() => this.#process.kill('SIGKILL'), STOPPED_WITHIN_MS);
    await ended;
    clearTimeout(killer);
  }

  get #ended(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }

  async #ready(): Promise<void> {
    const end = performance.now() + READY_WITHIN_MS;
    while (performance.now() < end) {
      if (this.#ended) throw new Error('The process ended before it was ready.');
      const ready = await fetch(`http://127.0.0.1:${this.port}${this.readyPath}`).then(
        async (response) => {
          await response.body?.cancel();
          return response.status === 200;
        },
        () => false,
      );
      if (ready) return;
      await sleep(POLL_MS);
    }
    throw new Error(`It was not ready within ${READY_WITHIN_MS / 1000} s.`);
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}
