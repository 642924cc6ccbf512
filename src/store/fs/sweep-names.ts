import { join } from 'node:path';
import { isLayerName } from '../../domain/layer-name.ts';
import { earlierEntries, entryName, lastRevision, readEntry } from './entry-file.ts';
import {
  type FileSystem,
  isOlder,
  isTemporary,
  isUnreadable,
  readShared,
  syncFolder,
  unlessMissing,
} from './files.ts';
import { UNUSED_MS } from './sweep.ts';

/** Nobody takes so long to write an entry. */
export const UNFINISHED_MS = 24 * UNUSED_MS;

export interface NameSweep {
  readonly files: FileSystem;
  /** Folder of the names. */
  readonly folder: string;
  /** Time by the clock that files are dated with, ms. */
  readonly nowMs: number;
}

/**
 * Removes what names had before, once what they have now has stood for so long that nobody is still reading the entry
 * before it; and entries that were only begun. Whatever is damaged is left where it is; where that is the last entry, so
 * is all that was before it.
 */
export async function sweepNames({ files, folder, nowMs }: NameSweep): Promise<void> {
  const names = await files.readdir(folder);
  for (const name of names.filter(isLayerName)) {
    // What cannot be read is reported by whoever wants to know what the name has, and stays as it is.
    await sweepName(join(folder, name)).catch((error) => {
      if (!isUnreadable(error)) throw error;
    });
  }

  async function sweepName(entries: string): Promise<void> {
    const present = (await unlessMissing(files.readdir(entries))) ?? [];
    for (const name of present.filter(isTemporary)) {
      if (await isOlder(files, join(entries, name), nowMs, UNFINISHED_MS))
        await unlessMissing(files.unlink(join(entries, name)));
    }
    const earlier = earlierEntries(present);
    if (earlier.length === 0) return;
    const last = join(entries, entryName(lastRevision(present)));
    if (!(await isOlder(files, last, nowMs, UNUSED_MS)) || !(await isWhole(last))) return;
    // Whoever wrote the last one may not have come so far.
    await syncFolder(files, entries);
    for (const name of earlier) {
      const path = join(entries, name);
      if (await isWhole(path)) await unlessMissing(files.unlink(path));
    }
  }

  async function isWhole(path: string): Promise<boolean> {
    const bytes = await readShared(files, path);
    return bytes !== null && readEntry(bytes) !== undefined;
  }
}
