import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Opened } from './contender.ts';
import type { Shape } from './shapes.ts';
import { type Inputs, resultNames } from './workload.ts';

const SCRIPT = fileURLToPath(new URL('peers.py', import.meta.url));
const LIBRARIES = ['torch', 'numpy'] as const;
type Library = (typeof LIBRARIES)[number];

/** A Python that has the library, and numpy, in which the script speaks of tensors. */
export interface Peer {
  readonly library: Library;
  readonly python: string;
}

/** The first of the given Pythons that has it, for every library. */
export async function findPeers(pythons: readonly string[]): Promise<Peer[]> {
  const peers: Peer[] = [];
  for (const library of LIBRARIES) {
    for (const python of pythons) {
      try {
        await promisify(execFile)(python, ['-c', `import numpy, ${library}`]);
        peers.push({ library, python });
        break;
      } catch {
        // the next one
      }
    }
  }
  return peers;
}

/** Starts the library in a process of its own. null, and a line that says so, where it cannot compute the shape. */
export async function openPeer(
  peer: Peer,
  shape: Shape,
  inputs: Inputs,
  threads: number,
): Promise<Opened | null> {
  const directory = await mkdtemp(join(tmpdir(), 'attention-peer-'));
  for (const [name, { shape: dims, data }] of Object.entries(inputs)) {
    await writeFile(join(directory, `${name}.json`), JSON.stringify(dims));
    await writeFile(
      join(directory, `${name}.f32`),
      new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    );
  }
  const talk = new Conversation(peer.python, threads);
  const close = async () => {
    await talk.close();
    await rm(directory, { recursive: true });
  };
  let version: string;
  try {
    const request = { do: 'open', library: peer.library, threads, shape, directory };
    version = String((await talk.ask(request)).version);
  } catch (error) {
    console.log(`  ${peer.library}: ${(error as Error).message}`);
    await close();
    return null;
  }
  return {
    contender: {
      name: `${peer.library} ${version}`,
      family: peer.library,
      sample: async (repeats) => Number((await talk.ask({ do: 'sample', repeats })).ms),
      close,
    },
    results: async () => {
      await talk.ask({ do: 'results', directory });
      const read = async (name: string) => {
        const bytes = await readFile(join(directory, `${name}.result`));
        return [
          name,
          new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)),
        ];
      };
      return Object.fromEntries(await Promise.all(resultNames(shape).map(read)));
    },
  };
}

/** One line there, one line back. */
class Conversation {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(python: string, threads: number) {
    const count = String(threads);
    this.#process = spawn(python, [SCRIPT], {
      stdio: ['pipe', 'pipe', 'inherit'],
      // BLAS libraries read these when they are loaded.
      env: { ...process.env, OMP_NUM_THREADS: count, OPENBLAS_NUM_THREADS: count, MKL_NUM_THREADS: count },
    });
    this.#lines = createInterface({ input: this.#process.stdout! })[Symbol.asyncIterator]();
  }

  async ask(request: object): Promise<Readonly<Record<string, unknown>>> {
    this.#process.stdin!.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error('the process has ended');
    const reply = JSON.parse(value) as Record<string, unknown>;
    if (reply.error !== undefined) throw new Error(String(reply.error));
    return reply;
  }

  async close(): Promise<void> {
    if (this.#process.exitCode !== null) return;
    this.#process.stdin!.end();
    await once(this.#process, 'exit');
  }
}
