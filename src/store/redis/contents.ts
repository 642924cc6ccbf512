import { randomUUID } from 'node:crypto';
import { RESP_TYPES } from '@redis/client';
import type { Connection } from './connection.ts';
import { contentKey, usersKey, writingKey } from './keys.ts';
import { KEEP_CONTENT, PLACE_CONTENT, WRITE_PIECE } from './scripts.ts';

/**
 * Bytes that one command carries. Each piece is an answer, so that a content takes as long as it takes over a slow line,
 * while other commands get through between its pieces, and one that gets stuck is noticed.
 */
const PIECE_BYTES = 1024 * 1024;

/** A content on shared memory; null where it is not there, or not any more when it was read to its end. */
export async function readPieces(connection: Connection, etag: string): Promise<Uint8Array | null> {
  const key = contentKey(etag);
  const size = await connection.ask((client) => client.strLen(key));
  if (size === 0) return null;
  const bytes = new Uint8Array(new SharedArrayBuffer(size));
  for (let at = 0; at < size; at += PIECE_BYTES) {
    const end = Math.min(at + PIECE_BYTES, size);
    const piece = await connection.ask((client) =>
      client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer }).getRange(key, at, end - 1),
    );
    if (piece?.byteLength !== end - at) return null;
    bytes.set(piece, at);
  }
  return bytes;
}

/** Keeps a content that is there, until it has a name. Whether it is. */
export async function keep(connection: Connection, etag: string): Promise<boolean> {
  const keys = [contentKey(etag), usersKey(etag)];
  return (await connection.ask((client) => client.eval(KEEP_CONTENT, { keys }))) === 1;
}

/** Puts a content together under a key of its own, and gives it its name when it is whole. */
export async function writePieces(
  connection: Connection,
  etag: string,
  parts: readonly Uint8Array[],
): Promise<void> {
  const writing = writingKey(randomUUID());
  try {
    const { pieces, size } = piecesOf(parts);
    // The last one first. Redis then takes the memory for all of them at once; and where it is restarted meanwhile and has
    // lost those that it had, the end is missing, which the length shows.
    for (const { start, bytes } of pieces.reverse()) {
      const piece = { keys: [writing], arguments: [String(start), Buffer.from(bytes)] };
      await connection.ask((client) => client.eval(WRITE_PIECE, piece));
    }
    const place = { keys: [writing, contentKey(etag), usersKey(etag)], arguments: [String(size)] };
    const isPlaced = await connection.ask((client) => client.eval(PLACE_CONTENT, place));
    if (isPlaced !== 1) throw new Error('Redis has lost what was written of a content.');
  } catch (error) {
    // Where this fails too, the key expires.
    await connection.ask((client) => client.del(writing)).catch(() => undefined);
    throw error;
  }
}

interface Piece {
  /** Where in the content it begins. */
  readonly start: number;
  readonly bytes: Uint8Array;
}

function piecesOf(parts: readonly Uint8Array[]): { readonly pieces: Piece[]; readonly size: number } {
  const pieces: Piece[] = [];
  let size = 0;
  for (const part of parts) {
    for (let at = 0; at < part.byteLength; at += PIECE_BYTES) {
      pieces.push({ start: size + at, bytes: part.subarray(at, at + PIECE_BYTES) });
    }
    size += part.byteLength;
  }
  return { pieces, size };
}
