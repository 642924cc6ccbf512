import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** The service in a process of its own, started as its users start it. */
export interface ServiceProcess {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** Status and signal with which the process ended. */
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** Lines written so far, of standard output and standard error. */
  readonly lines: readonly string[];
  /** The first line, past or to come, that holds all the texts. */
  line(...texts: string[]): Promise<string>;
  kill(signal: NodeJS.Signals): void;
  /** Ends the process, gracefully if it can, and waits for it. */
  stop(): Promise<void>;
}

export interface ServiceOptions {
  readonly cwd?: string;
  readonly uid?: number;
  /** Path of the Node binary, where it is not this process's own. */
  readonly node?: string;
  readonly env?: NodeJS.ProcessEnv;
}

const START_MS = 20_000;

/**
 * Starts `node src/start.mjs` on a free port, or on `env.PORT`, and waits until it says where it listens. Layers are kept in
 * memory, unless `env.DATA_DIR` says where on disk.
 */
export async function startService({ cwd, uid, node, env }: ServiceOptions = {}): Promise<ServiceProcess> {
  const child = spawn(node ?? process.execPath, ['src/start.mjs'], {
    ...(cwd === undefined ? {} : { cwd }),
    ...(uid === undefined ? {} : { uid, gid: uid }),
    env: {
      PATH: process.env.PATH,
      HOST: '127.0.0.1',
      PORT: '0',
      ...(env?.DATA_DIR === undefined ? { STORE: 'memory' } : {}),
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = new Output(child);
  const exited = once(child, 'exit').then(([code, signal]) => ({ code, signal }));
  const address = await Promise.race([
    output.line('http://127.0.0.1:'),
    exited.then(({ code }) => `ended with status ${code}`),
    new Promise<string>((resolve) => setTimeout(resolve, START_MS, 'did not say where it listens').unref()),
  ]);
  const port = Number(/http:\/\/127\.0\.0\.1:(\d+)/.exec(address)?.[1]);
  if (!(port > 0)) {
    child.kill('SIGKILL');
    throw new Error(`The service ${address}:\n${output.lines.join('\n')}`);
  }
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    pid: child.pid!,
    exited,
    lines: output.lines,
    line: (...texts) => output.line(...texts),
    kill: (signal) => void child.kill(signal),
    stop: async () => {
      child.kill('SIGTERM');
      const forced = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await exited;
      clearTimeout(forced);
    },
  };
}

class Output {
  readonly lines: string[] = [];
  readonly #awaited = new Set<{ texts: string[]; resolve: (line: string) => void }>();

  constructor({ stdout, stderr }: ChildProcess) {
    for (const stream of [stdout!, stderr!]) {
      createInterface({ input: stream }).on('line', (line) => this.#add(line));
    }
  }

  line(...texts: string[]): Promise<string> {
    const found = this.lines.find((line) => texts.every((text) => line.includes(text)));
    if (found !== undefined) return Promise.resolve(found);
    return new Promise((resolve) => this.#awaited.add({ texts, resolve }));
  }

  #add(line: string): void {
    this.lines.push(line);
    for (const waiter of this.#awaited) {
      if (!waiter.texts.every((text) => line.includes(text))) continue;
      this.#awaited.delete(waiter);
      waiter.resolve(line);
    }
  }
}
