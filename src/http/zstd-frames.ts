import { Duplex } from 'node:stream';
import { createZstdDecompress, type ZstdDecompress, type ZstdOptions } from 'node:zlib';
import { Problem } from '../domain/problem.ts';

/** Frames of one body at most: as many as 64 MiB have in pieces of 16 KiB, and each costs some 100 microseconds. */
const MOST_FRAMES = 4096;

/**
 * Decompresses zstd data: frames one after the other, skippable ones among them (RFC 8878, section 3). Node's own stream
 * takes only frames whose end is the end of a chunk too, and ends with the first other one; then the next frame is
 * begun. Fails with zlib's errors, and with a Problem, malformed_body, where the frames are too many.
 */
export class ZstdFrames extends Duplex {
  readonly #options: ZstdOptions;
  #frame: ZstdDecompress;
  #frames = 0;
  #bytesWritten = 0;
  #onEnd = () => {};

  constructor(options: ZstdOptions) {
    super();
    this.#options = options;
    this.#frame = this.#begin();
  }

  /** Compressed bytes that have been taken. */
  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#bytesWritten += chunk.length;
    this.#decompress(chunk, done);
  }

  override _final(done: () => void): void {
    this.#onEnd = () => {
      this.push(null);
      done();
    };
    this.#frame.end();
  }

  override _read(): void {
    this.#frame.resume();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#frame.destroy();
    done(error);
  }

  #decompress(chunk: Buffer, done: () => void): void {
    const frame = this.#frame;
    const before = frame.bytesWritten;
    this.#onEnd = () => {
      frame.destroy();
      if (++this.#frames === MOST_FRAMES) this.destroy(tooMany());
      else {
        this.#frame = this.#begin();
        this.#decompress(chunk.subarray(frame.bytesWritten - before), done);
      }
    };
    frame.write(chunk, () => {
      if (frame === this.#frame && !frame.destroyed) done();
    });
  }

  #begin(): ZstdDecompress {
    return createZstdDecompress(this.#options)
      .on('data', (plain: Buffer) => {
        if (!this.push(plain)) this.#frame.pause();
      })
      .on('end', () => this.#onEnd())
      .on('error', (error) => this.destroy(error));
  }
}

function tooMany(): Problem {
  const detail = `The body cannot be read as Content-Encoding zstd: it has more than ${MOST_FRAMES} frames.`;
  return new Problem('malformed_body', detail);
}
