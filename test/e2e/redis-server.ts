import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { freePort } from '../support/free-port.ts';

/** A Redis server of Debian in a process of its own, which writes every change to disk before it answers. */
export class RedisServer {
  readonly url: string;
  readonly #port: number;
  readonly #folder: string;
  readonly #options: readonly string[];
  #child: ChildProcess | null = null;

  private constructor(port: number, folder: string, options: readonly string[]) {
    this.#port = port;
    this.#folder = folder;
    this.#options = options;
    this.url = `redis://127.0.0.1:${port}`;
  }

  /** Starts a server on a free port, with settings such as `['--maxmemory', '1mb']`. */
  static async start(options: readonly string[] = []): Promise<RedisServer> {
    const folder = await mkdtemp(join(tmpdir(), 'redis-'));
    const server = new RedisServer(await freePort(), folder, options);
    await server.resume();
    return server;
  }

  /** Starts it again, on what it has written. */
  async resume(): Promise<void> {
    const settings = ['--port', String(this.#port), '--bind', '127.0.0.1', '--dir', this.#folder];
    const durable = ['--appendonly', 'yes', '--appendfsync', 'always', '--save', ''];
    const child = spawn('redis-server', [...settings, ...durable, ...this.#options], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#child = child;
    const lines = createInterface({ input: child.stdout });
    const ended = once(child, 'exit').then(() => Promise.reject(new Error('redis-server ended')));
    ended.catch(() => undefined);
    const ready = new Promise<void>((resolve) => {
      lines.on('line', (line) => {
        if (line.includes('Ready to accept connections')) resolve();
      });
    });
    await Promise.race([ready, ended]);
  }

  /** Has it take no command and give no answer, while its connections stay, until `goOn`. */
  hang(): void {
    this.#child?.kill('SIGSTOP');
  }

  goOn(): void {
    this.#child?.kill('SIGCONT');
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  async stop(): Promise<void> {
    await this.kill();
    await rm(this.#folder, { recursive: true });
  }
}
