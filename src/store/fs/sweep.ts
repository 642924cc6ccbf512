import { join } from 'node:path';
import { isSameContent } from '../hash.ts';
import {
  type FileSystem,
  isCode,
  isOlder,
  isTemporary,
  readShared,
  syncFolder,
  unlessMissing,
} from './files.ts';

/**
 * How long a content without a name is kept, twice over: far longer than a registration takes from finding its content
 * there to naming it, and than a reader takes from reading a name to reading what it has.
 */
export const UNUSED_MS = 60 * 60 * 1000;

const CONTENT = /^([0-9a-f]{64})\.safetensors$/;
const UNUSED = /^([0-9a-f]{64})\.unused$/;

export const contentName = (etag: string) => `${etag}.safetensors`;
/** Where readers still find a content that no name has. */
export const unusedName = (etag: string) => `${etag}.unused`;
/** Name of a content that is not what its name says. */
export const damagedName = (etag: string, nowMs: number) => `${contentName(etag)}.damaged-${nowMs}`;

export interface Sweep {
  readonly files: FileSystem;
  /** Folder of the contents. */
  readonly folder: string;
  /** The contents that names have at the moment; null where it cannot be told of every name. */
  readonly namedContents: () => Promise<ReadonlySet<string> | null>;
  /** A damaged content was found. */
  readonly report: (path: string) => void;
  /** Time by the clock that files are dated with, ms. */
  readonly nowMs: number;
}

/**
 * Removes the contents that no name has, in two steps, so that neither processes that share the folder need a lock, nor a
 * registration has to say that it is under way. First a content is called unused: whoever registers it from then on
 * writes it again. When that is long ago, every registration that found it before has named it or failed; if a
 * name has it, it gets its own name back, and otherwise it is removed. Readers find it under either name meanwhile.
 *
 * A sweep may end anywhere and others may run at the same time. Whatever is damaged is left where it is.
 */
export async function sweep({ files, folder, namedContents, report, nowMs }: Sweep): Promise<void> {
  // The folder first: a content that is called unused by then is named by then, or by nobody who found it.
  const present = await files.readdir(folder);
  const named = await namedContents();
  if (named === null) return;
  const isOld = (name: string) => isOlder(files, join(folder, name), nowMs, UNUSED_MS);
  for (const name of present) {
    const [, unused] = UNUSED.exec(name) ?? [];
    const [, content] = CONTENT.exec(name) ?? [];
    if (unused !== undefined && named.has(unused)) await restore(unused);
    else if (unused !== undefined && (await isOld(name))) await remove(unused);
    else if (content !== undefined && !named.has(content) && (await isOld(name))) await callUnused(content);
    else if (isTemporary(name) && (await isOld(name))) await unlessMissing(files.unlink(join(folder, name)));
  }

  async function callUnused(etag: string): Promise<void> {
    const path = join(folder, contentName(etag));
    // Dated first: a content of its own name with another date means nothing, the other way round it would go at once.
    if ((await unlessMissing(files.utimes(path, nowMs / 1000, nowMs / 1000).then(() => true))) === null)
      return;
    await unlessMissing(files.rename(path, join(folder, unusedName(etag))));
  }

  async function restore(etag: string): Promise<void> {
    const path = join(folder, unusedName(etag));
    try {
      await files.link(path, join(folder, contentName(etag)));
    } catch (error) {
      if (isCode(error, 'ENOENT')) return;
      if (!isCode(error, 'EEXIST')) throw error;
    }
    await syncFolder(files, folder);
    await unlessMissing(files.unlink(path));
  }

  async function remove(etag: string): Promise<void> {
    const path = join(folder, unusedName(etag));
    const bytes = await readShared(files, path);
    if (bytes === null) return;
    if (await isSameContent(bytes, etag)) {
      await unlessMissing(files.unlink(path));
      return;
    }
    report(path);
    await unlessMissing(files.rename(path, join(folder, damagedName(etag, nowMs))));
  }
}
