import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';

/** Hashed in one go: well below a millisecond, after which others have their turn. */
const CHUNK_BYTES = 256 * 1024;

/** Whether bytes are those that this SHA-256 names. Takes as long as it takes, but never long at a time. */
export async function isSameContent(bytes: Uint8Array, etag: string): Promise<boolean> {
  const hash = createHash('sha256');
  for (let at = 0; at < bytes.byteLength; at += CHUNK_BYTES) {
    if (at > 0) await setImmediate();
    hash.update(bytes.subarray(at, at + CHUNK_BYTES));
  }
  return hash.digest('hex') === etag;
}
