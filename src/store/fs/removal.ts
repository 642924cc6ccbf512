import { join } from 'node:path';
import { readEntry, writeEntry } from './entry-file.ts';
import { type FileSystem, readShared, syncFolder, writeDurably } from './files.ts';

/*
 * A name is taken away by a new entry, and whoever does that may want to make room where there is none. So one such
 * entry is kept from the beginning: another name of the same file takes no room but in its folder.
 */

const REMOVAL = 'removal.json';

/** Makes the entry to be linked to where it is missing; without it, to take a name away needs room. */
export async function keepRemoval(files: FileSystem, folder: string): Promise<void> {
  if ((await files.readdir(folder)).includes(REMOVAL)) return;
  await writeDurably(files, folder, REMOVAL, [writeEntry(null)], 'rename').catch(() => undefined);
}

/**
 * Gives the entry that is kept in `folder` another name, durably; false where none is kept. Throws EEXIST where the name
 * is taken.
 */
export async function linkRemoval(
  files: FileSystem,
  folder: string,
  entry: { readonly folder: string; readonly name: string; readonly nowMs: number },
): Promise<boolean> {
  const removal = join(folder, REMOVAL);
  const bytes = await readShared(files, removal);
  if (bytes === null || readEntry(bytes) !== null) return false;
  // An entry is as old as the change that it stands for.
  const seconds = entry.nowMs / 1000;
  await files.utimes(removal, seconds, seconds);
  await files.link(removal, join(entry.folder, entry.name));
  await syncFolder(files, entry.folder);
  return true;
}
