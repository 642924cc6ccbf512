import { createHash } from 'node:crypto';
import * as fs from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { File, FileSystem } from '../../src/store/fs/files.ts';
import type { LayerStore, StoredLayer } from '../../src/store/store.ts';

/** Calls of the file system with which a store opens where its folders are there. */
export const OPENING_CALLS = 5;

/** Runs with a folder of its own, which is gone afterwards. */
export async function withFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await fs.mkdtemp(join(tmpdir(), 'layers-'));
  try {
    await test(folder);
  } finally {
    await fs.rm(folder, { recursive: true });
  }
}

/** A content of some bytes, and its hash. */
export function contentOf(text: string, bytes = 100): { readonly etag: string; readonly bytes: Uint8Array } {
  const content = Buffer.alloc(bytes, text);
  return { etag: createHash('sha256').update(content).digest('hex'), bytes: content };
}

/** What a store keeps about a layer of this content. */
export function storedLayer(name: string, { etag, bytes }: ReturnType<typeof contentOf>): StoredLayer {
  return {
    name,
    etag,
    bytes: bytes.length,
    options: { heads: 2, rope: { pairing: 'half' } },
    tensors: { w_q: { dtype: 'float32', shape: [4, 4] } },
    registered_at: '2026-01-02T03:04:05.678Z',
  };
}

/** A logger that keeps what it was told. */
export function listener() {
  const told: { details: object; message: string }[] = [];
  return {
    told,
    logger: { error: (details: object, message: string) => void told.push({ details, message }) },
  };
}

/** Puts a content under a name, whatever stands there. */
export async function put(
  store: LayerStore,
  name: string,
  content: ReturnType<typeof contentOf>,
): Promise<void> {
  await store.writeContent(content.etag, [content.bytes]);
  const { revision } = await store.find(name);
  await store.replace(name, revision, storedLayer(name, content));
}

/** An error as the file system throws it. */
export function fileError(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: it does not work`), { code });
}

/**
 * The real file system, of which the call with this number, counted from 0, fails; a failing write has written half of
 * what it was given. `calls` names those that were made.
 */
export function failing(at: number, code: string): { readonly files: FileSystem; readonly calls: string[] } {
  const calls: string[] = [];
  const guarded =
    <Arguments extends unknown[], Result>(name: string, run: (...rest: Arguments) => Promise<Result>) =>
    async (...rest: Arguments): Promise<Result> => {
      calls.push(name);
      if (calls.length - 1 !== at) return run(...rest);
      if (name === 'write') await run(...halved(rest));
      // A handle that does not say that it is closed is closed all the same.
      if (name === 'close') await run(...rest);
      throw fileError(code);
    };
  const wrapped = (file: File): File => ({
    write: guarded('write', file.write.bind(file) as never) as File['write'],
    read: guarded('read', file.read.bind(file) as never) as File['read'],
    stat: guarded('stat', file.stat.bind(file) as never) as File['stat'],
    sync: guarded('sync', () => file.sync()),
    close: guarded('close', () => file.close()),
  });
  const files: FileSystem = {
    open: guarded('open', async (path: string, flags: string) => wrapped(await fs.open(path, flags))),
    link: guarded('link', fs.link) as FileSystem['link'],
    rename: guarded('rename', fs.rename) as FileSystem['rename'],
    unlink: guarded('unlink', fs.unlink) as FileSystem['unlink'],
    utimes: guarded('utimes', fs.utimes) as FileSystem['utimes'],
    readdir: guarded('readdir', (path: string) => fs.readdir(path)),
    mkdir: guarded('mkdir', (path: string) => fs.mkdir(path)),
  };
  return { files, calls };
}

function halved<Arguments extends unknown[]>(rest: Arguments): Arguments {
  const [bytes, at, length, position] = rest as unknown as [Uint8Array, number, number, number];
  return [bytes, at, Math.floor(length / 2), position] as unknown as Arguments;
}
