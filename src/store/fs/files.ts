import { randomUUID } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** The calls on files that the store makes: those of node:fs/promises, or others in tests. */
export interface FileSystem {
  open(path: string, flags: string): Promise<File>;
  link(existing: string, path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** Times in seconds. */
  utimes(path: string, accessed: number, modified: number): Promise<void>;
  readdir(path: string): Promise<string[]>;
  mkdir(path: string): Promise<unknown>;
}

export type File = Pick<FileHandle, 'write' | 'read' | 'stat' | 'sync' | 'close'>;

/** Name of a file that is being written; left behind where a process ended while it wrote. */
const TEMPORARY = '.writing-';

export function isTemporary(name: string): boolean {
  return name.startsWith(TEMPORARY);
}

/** Bytes that one call of the file system is asked to write or read. */
const CHUNK_BYTES = 16 * 1024 * 1024;

/**
 * Writes a file so that it is there whole or not at all, whatever ends the process or the machine: under another name in
 * the same folder, to the disk, and only then by its name; and the folder to the disk, which holds the name.
 *
 * `place` gives the written file its name: by `rename`, over whatever has it, or by `link`, which throws EEXIST instead.
 */
export async function writeDurably(
  files: FileSystem,
  folder: string,
  name: string,
  parts: readonly Uint8Array[],
  place: 'rename' | 'link',
): Promise<void> {
  const temporary = join(folder, `${TEMPORARY}${randomUUID()}`);
  try {
    await writeAndSync(files, temporary, parts);
    await files[place](temporary, join(folder, name));
    if (place === 'link') await files.unlink(temporary).catch(() => undefined);
  } catch (error) {
    // It stays where it cannot be removed: better a file too many than another error in place of the one that counts.
    await files.unlink(temporary).catch(() => undefined);
    throw error;
  }
  await syncFolder(files, folder);
}

async function writeAndSync(files: FileSystem, path: string, parts: readonly Uint8Array[]): Promise<void> {
  const file = await files.open(path, 'wx');
  try {
    let start = 0;
    for (const part of parts) {
      let at = 0;
      while (at < part.byteLength) {
        const length = Math.min(CHUNK_BYTES, part.byteLength - at);
        at += (await file.write(part, at, length, start + at)).bytesWritten;
      }
      start += part.byteLength;
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

/**
 * Makes a folder where it is missing, and those that it lies in. Not by the `recursive` of Node, which tries without end where
 * ENOENT is said of a folder whose parent is there: so does /proc, where none can be made.
 */
export async function makeFolder(files: FileSystem, path: string): Promise<void> {
  try {
    await makeUnlessThere(files, path);
  } catch (error) {
    if (!isCode(error, 'ENOENT') || dirname(path) === path) throw error;
    await makeFolder(files, dirname(path));
    await makeUnlessThere(files, path);
  }
}

async function makeUnlessThere(files: FileSystem, path: string): Promise<void> {
  try {
    await files.mkdir(path);
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw error;
  }
}

/** Makes the names in a folder durable. */
export async function syncFolder(files: FileSystem, folder: string): Promise<void> {
  const handle = await files.open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** A file on shared memory; null where there is none. */
export async function readShared(files: FileSystem, path: string): Promise<Uint8Array | null> {
  const file = await unlessMissing(files.open(path, 'r'));
  if (file === null) return null;
  try {
    const { size } = await file.stat();
    const bytes = new Uint8Array(new SharedArrayBuffer(size));
    let at = 0;
    while (at < size) {
      const { bytesRead } = await file.read(bytes, at, Math.min(CHUNK_BYTES, size - at), at);
      if (bytesRead === 0) return bytes.subarray(0, at);
      at += bytesRead;
    }
    return bytes;
  } finally {
    await file.close();
  }
}

/** Whether a file was dated last more than so long before `nowMs`; false where there is none. */
export async function isOlder(
  files: FileSystem,
  path: string,
  nowMs: number,
  thanMs: number,
): Promise<boolean> {
  const dateMs = await unlessMissing(modifiedMs(files, path));
  return dateMs !== null && nowMs - dateMs > thanMs;
}

/** When a file was dated last, ms. */
async function modifiedMs(files: FileSystem, path: string): Promise<number> {
  const file = await files.open(path, 'r');
  try {
    return (await file.stat()).mtimeMs;
  } finally {
    await file.close();
  }
}

/** null in place of the error that says that there is nothing. */
export async function unlessMissing<Result>(promise: Promise<Result>): Promise<Result | null> {
  try {
    return await promise;
  } catch (error) {
    if (isCode(error, 'ENOENT')) return null;
    throw error;
  }
}

export function isCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}

/** Whether something is not the folder or the file that it is to be, or not for this process: others still may be. */
export function isUnreadable(error: unknown): boolean {
  return isCode(error, 'ENOTDIR', 'EISDIR', 'EACCES', 'EPERM', 'ELOOP');
}
