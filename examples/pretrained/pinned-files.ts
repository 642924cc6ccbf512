import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A file that must be there to the byte. */
export interface PinnedFile {
  readonly path: string;
  readonly bytes: number;
  /** SHA-256 of the content, in hex. */
  readonly sha256: string;
}

/**
 * Reads files whose content is known beforehand. Numbers computed from other weights would be wrong without
 * looking wrong, so a file of another size or hash throws an Error that names it.
 */
export async function readPinnedFiles(folder: string, files: readonly PinnedFile[]): Promise<Buffer[]> {
  return Promise.all(files.map((file) => readPinnedFile(folder, file)));
}

async function readPinnedFile(folder: string, { path, bytes, sha256 }: PinnedFile): Promise<Buffer> {
  const content = await readFile(join(folder, path));
  if (content.byteLength !== bytes) {
    throw new Error(`${path}: expected ${bytes} bytes; got ${content.byteLength}`);
  }
  const found = createHash('sha256').update(content).digest('hex');
  if (found !== sha256) throw new Error(`${path}: expected SHA-256 ${sha256}; got ${found}`);
  return content;
}
