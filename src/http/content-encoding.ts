import { finished, type Readable } from 'node:stream';
import { constants, createBrotliDecompress, createGunzip, createInflate, createInflateRaw } from 'node:zlib';
import { Problem } from '../domain/problem.ts';
import { quoted } from '../domain/quoted.ts';
import type { BodyBudget } from './body.ts';
import { ZstdFrames } from './zstd-frames.ts';

/** What is decompressed in one go on zlib's threads. */
const CHUNK = { chunkSize: 64 * 1024 };
/** Largest window of a zstd frame that a receiver has to take, 8 MiB (RFC 9659), and the largest taken here. */
const ZSTD_WINDOW = { params: { [constants.ZSTD_d_windowLogMax]: 23 } };
/** Compression method of a zlib stream, in the lower half of its first byte (RFC 1950). */
const DEFLATE_METHOD = 8;

/** Content codings of request bodies (RFC 9110, RFC 7932, RFC 8878), each with what undoes it. */
const DECOMPRESSORS = {
  gzip: () => createGunzip(CHUNK),
  // The standard means the zlib format; some clients send the compressed blocks without its header.
  deflate: (firstByte: number) =>
    (firstByte & 0x0f) === DEFLATE_METHOD ? createInflate(CHUNK) : createInflateRaw(CHUNK),
  br: () => createBrotliDecompress(CHUNK),
  zstd: () => new ZstdFrames({ ...CHUNK, ...ZSTD_WINDOW }),
};
export type ContentCoding = keyof typeof DECOMPRESSORS;
export const CONTENT_CODINGS = Object.keys(DECOMPRESSORS) as ContentCoding[];

/**
 * The coding that a Content-Encoding header names; null where the body is as it is. One coding: several in a row are
 * in no client's use, and each multiplies what a small body can blow up to.
 * @throws {Problem} unsupported_media_type.
 */
export function readContentEncoding(header: string | undefined): ContentCoding | null {
  if (header === undefined) return null;
  const named = header.toLowerCase().split(',').map(canonicalName);
  const codings = named.filter((name) => name !== '' && name !== 'identity');
  if (codings.length === 0) return null;
  const coding = CONTENT_CODINGS.find((known) => known === codings[0]);
  if (coding !== undefined && codings.length === 1) return coding;
  const got = coding === undefined ? quoted(header) : 'several in a row';
  const expected = `one of ${CONTENT_CODINGS.join(', ')}, or "identity"`;
  throw new Problem('unsupported_media_type', `Content-Encoding: expected ${expected}; got ${got}.`);
}

/**
 * Has `read` read a body without its coding. Bytes are decompressed on zlib's threads no faster than they are read,
 * and whatever comes of it, nothing is decompressed any more when this ends; what is left of the body is dropped.
 * The window of a decompressor, up to 16 MiB (br), is only used as far as the body has grown.
 * @throws {Problem} malformed_body where it cannot be decompressed to its very end; body_too_large where more
 *   compressed bytes come than a body may have; what `read` throws; the reason of the signal.
 */
export async function readDecompressed<Result>(
  source: Readable,
  coding: ContentCoding | null,
  { limit, signal }: Pick<BodyBudget, 'limit' | 'signal'>,
  read: (plain: Readable) => Promise<Result>,
): Promise<Result> {
  if (coding === null) return read(source);
  const decompressor = DECOMPRESSORS[coding](await firstByteOf(source, signal));
  let received = 0;
  const onData = (chunk: Buffer) => {
    received += chunk.length;
    if (received <= limit) return;
    const detail = `The body may have ${limit} bytes here; more came, and were still compressed.`;
    decompressor.destroy(new Problem('body_too_large', detail));
  };
  const forget = finished(source, { writable: false }, (error) => {
    if (error) decompressor.destroy(error);
  });
  source.on('data', onData).pipe(decompressor);
  try {
    const result = await read(decompressor);
    if (decompressor.bytesWritten < received) throw malformed(coding, 'something follows its end');
    return result;
  } catch (error) {
    throw isDecompressionError(error) ? malformed(coding, error.message) : error;
  } finally {
    forget();
    source.off('data', onData).unpipe(decompressor);
    decompressor.destroy();
    source.resume();
  }
}

function canonicalName(name: string): string {
  const trimmed = name.trim();
  // RFC 9110, section 8.4.1.3.
  return trimmed === 'x-gzip' ? 'gzip' : trimmed;
}

/** Waits for the first byte, which is read again by whoever reads next; NaN where there is none. */
async function firstByteOf(source: Readable, signal: AbortSignal): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const onData = (chunk: Buffer) => {
    source.off('data', onData).pause().unshift(chunk);
    resolve(chunk[0]);
  };
  const forget = finished(source, { writable: false, signal }, (error) => {
    if (error) reject(signal.aborted ? signal.reason : error);
    else resolve(Number.NaN);
  });
  try {
    source.on('data', onData);
    return await promise;
  } catch (error) {
    source.off('data', onData).resume();
    throw error;
  } finally {
    forget();
  }
}

function malformed(coding: ContentCoding, reason: string): Problem {
  return new Problem('malformed_body', `The body cannot be read as Content-Encoding ${coding}: ${reason}.`);
}

/** zlib's errors have its own codes, such as Z_DATA_ERROR, ERR__ERROR_FORMAT_PADDING_2 (br) or ZSTD_error_…. */
function isDecompressionError(error: unknown): error is Error {
  return (
    error instanceof Error &&
    'errno' in error &&
    /^(?:Z_|ERR__|ZSTD_)/.test(String(Reflect.get(error, 'code')))
  );
}
