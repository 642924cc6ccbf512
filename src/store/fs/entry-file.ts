import { createHash } from 'node:crypto';
import type { StoredLayer } from '../store.ts';

/** A revision is a number of so many digits, so that names sort as their revisions do. */
const DIGITS = 12;
const NAME = /^\d{12}\.json$/;

export function entryName(revision: number): string {
  return `${String(revision).padStart(DIGITS, '0')}.json`;
}

/** The highest revision among the names of a folder; 0 where there is none. */
export function lastRevision(names: readonly string[]): number {
  const revisions = names.filter((name) => NAME.test(name)).map((name) => Number.parseInt(name, 10));
  return revisions.reduce((highest, revision) => Math.max(highest, revision), 0);
}

/** The names of a folder that are entries before the last one. */
export function earlierEntries(names: readonly string[]): string[] {
  const last = entryName(lastRevision(names));
  return names.filter((name) => NAME.test(name) && name < last);
}

/** A line with the SHA-256 of the rest, which is JSON; null for a name that was taken away. */
export function writeEntry(layer: StoredLayer | null): Uint8Array {
  const text = `${JSON.stringify(layer)}\n`;
  return Buffer.from(`${hashOf(text)}\n${text}`);
}

/** Undefined where the bytes are not what was written. */
export function readEntry(bytes: Uint8Array): StoredLayer | null | undefined {
  const text = Buffer.from(bytes).toString();
  const end = text.indexOf('\n');
  const rest = text.slice(end + 1);
  return text.slice(0, end) === hashOf(rest) ? JSON.parse(rest) : undefined;
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
