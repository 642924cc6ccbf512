import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface RawAnswer {
  readonly status: number;
  /** By lower-case names. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
}

/** After which there may be more to read, or never again. */
const EVENTS = ['readable', 'end', 'close'] as const;

/** A connection on which a test writes and reads bytes as it likes. Nothing is read before it asks for something. */
export class RawConnection {
  readonly socket: Socket;
  /** Fulfilled when the connection is closed, by whichever side and however. */
  readonly closed: Promise<void>;
  #received: Buffer = Buffer.alloc(0);

  private constructor(socket: Socket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    socket.on('error', () => {});
  }

  static async open(url: string): Promise<RawConnection> {
    const socket = connect(Number(new URL(url).port), '127.0.0.1');
    await once(socket, 'connect');
    return new RawConnection(socket);
  }

  write(...lines: string[]): void {
    this.socket.write(lines.join('\r\n'));
  }

  /**
   * The next answer, which says how long it is; undefined where the connection ends first. What comes after it stays for
   * the next call.
   */
  async answer(): Promise<RawAnswer | undefined> {
    while (!this.#received.includes('\r\n\r\n')) if (!(await this.#read(1))) return undefined;
    const end = this.#received.indexOf('\r\n\r\n') + 4;
    const [statusLine, ...lines] = this.#received.toString('latin1', 0, end).trimEnd().split('\r\n');
    const headers = new Map(
      lines.map((line) => {
        const [name] = line.split(':', 1);
        return [name.toLowerCase(), line.slice(name.length + 1).trim()] as const;
      }),
    );
    const total = end + Number(headers.get('content-length') ?? 0);
    if (!(await this.#read(total - this.#received.length))) return undefined;
    const body = this.#received.subarray(end, total);
    this.#received = this.#received.subarray(total);
    return { status: Number(statusLine.split(' ')[1]), headers, body };
  }

  /** Reads everything until the other side ends, and says how many bytes that was. */
  async rest(): Promise<number> {
    await this.#read(Number.POSITIVE_INFINITY);
    return this.#received.length;
  }

  /** Reads so many bytes more, or until the end, and says whether it was all of them. */
  async #read(bytes: number): Promise<boolean> {
    const { socket } = this;
    const chunks = [this.#received];
    let left = bytes;
    let wake = () => {};
    const onEvent = () => wake();
    for (const event of EVENTS) socket.on(event, onEvent);
    while (left > 0) {
      const chunk: Buffer | null = socket.read();
      if (chunk !== null) {
        chunks.push(chunk);
        left -= chunk.length;
      } else if (socket.readableEnded || socket.destroyed) break;
      else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
    for (const event of EVENTS) socket.off(event, onEvent);
    this.#received = Buffer.concat(chunks);
    return left <= 0;
  }
}

/**
 * All answers on a new connection, up to its end. Of several pieces of bytes each is sent when there is an answer to the
 * one before.
 */
export async function readAnswers(url: string, pieces: readonly string[]): Promise<RawAnswer[]> {
  const connection = await RawConnection.open(url);
  const answers: (RawAnswer | undefined)[] = [];
  for (const bytes of pieces) {
    connection.write(bytes);
    answers.push(await connection.answer());
  }
  while (answers.at(-1) !== undefined) answers.push(await connection.answer());
  return answers.filter((answer) => answer !== undefined);
}

/** A request as it goes over the wire. */
export function rawPost(path: string, body: object, headers: readonly string[] = []): string {
  const text = JSON.stringify(body);
  const type = 'Content-Type: application/json';
  return [
    `POST ${path} HTTP/1.1`,
    'Host: a',
    type,
    ...headers,
    `Content-Length: ${text.length}`,
    '',
    text,
  ].join('\r\n');
}

/** Length of the body of the answer to `LARGE_ANSWER`: of a NumPy file that is larger than the buffers of a connection. */
export const LARGE_ANSWER_BYTES = 128 + 2048 * 4096 * 4;

/** A request that takes no time and whose answer is large. */
export const LARGE_ANSWER = rawPost(
  '/v1/scaled-dot-product-attention',
  { query: Array(2048).fill([0]), key: [[0]], value: [Array(4096).fill(0)] },
  ['Accept: application/x-npy'],
);
