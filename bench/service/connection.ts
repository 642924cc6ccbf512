import { connect, type Socket } from 'node:net';

export interface Answer {
  readonly status: number;
  /** Status line and headers, as they came. */
  readonly head: string;
  /** Empty unless the connection keeps bodies. */
  readonly body: Uint8Array;
}

const HEAD_END = '\r\n\r\n';
const CONTENT_LENGTH = /\r\ncontent-length: *(\d+)/i;
/** One read of a socket takes no more than this. */
const READ_BYTES = 256 * 1024;
const NOTHING = new Uint8Array(0);

/**
 * A kept-alive HTTP/1.1 connection for one request at a time: bytes that were made beforehand go out, and of the answer
 * no more is understood than where it ends. Reads go into one buffer, so that a client makes next to no garbage and
 * takes next to no processor from the service that it measures.
 */
export class Connection {
  readonly #socket: Socket;
  readonly #keepsBodies: boolean;
  #answer: { status: number; head: string; body: Uint8Array } | null = null;
  /** Bytes of the body that are still to come. */
  #missing = 0;
  #done: ((answer: Answer) => void) | null = null;
  #failed: ((error: Error) => void) | null = null;

  static async open(port: number, { keepBodies = false } = {}): Promise<Connection> {
    const connection = new Connection(port, keepBodies);
    await new Promise<void>((resolve, reject) => {
      connection.#socket.once('connect', resolve).once('error', reject);
    });
    return connection;
  }

  private constructor(port: number, keepsBodies: boolean) {
    this.#keepsBodies = keepsBodies;
    const onread = {
      buffer: Buffer.allocUnsafe(READ_BYTES),
      callback: (length: number, buffer: Uint8Array) => {
        try {
          this.#read(Buffer.from(buffer.buffer, buffer.byteOffset, length));
        } catch (error) {
          this.#socket.destroy(error as Error);
        }
        return true;
      },
    };
    this.#socket = connect({ host: '127.0.0.1', port, noDelay: true, onread });
    this.#socket.on('error', (error) => this.#failed?.(error));
    this.#socket.on('close', () => this.#failed?.(new Error('The service closed the connection.')));
  }

  /** Sends one request; one of the two is called when it is answered or never will be. */
  send(request: Uint8Array, done: (answer: Answer) => void, failed: (error: Error) => void): void {
    this.#done = done;
    this.#failed = failed;
    this.#socket.write(request);
  }

  request(request: Uint8Array): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.send(request, resolve, reject);
    });
  }

  close(): void {
    this.#failed = null;
    this.#socket.destroy();
  }

  #read(bytes: Buffer): void {
    if (this.#answer !== null) {
      this.#readBody(bytes);
      return;
    }
    const end = bytes.indexOf(HEAD_END);
    if (end < 0) throw new Error('Expected a head of the answer that comes in one piece.');
    const head = bytes.toString('latin1', 0, end);
    const length = CONTENT_LENGTH.exec(head);
    if (length === null) throw new Error(`Expected an answer with a Content-Length; got ${head}`);
    this.#missing = Number(length[1]);
    const body = this.#keepsBodies ? new Uint8Array(this.#missing) : NOTHING;
    // HTTP/1.1 200 OK
    this.#answer = { status: Number(head.slice(9, 12)), head, body };
    this.#readBody(bytes.subarray(end + HEAD_END.length));
  }

  #readBody(bytes: Buffer): void {
    const answer = this.#answer!;
    if (bytes.length > this.#missing) throw new Error('Expected nothing after the answer; got more bytes.');
    if (this.#keepsBodies) answer.body.set(bytes, answer.body.length - this.#missing);
    this.#missing -= bytes.length;
    if (this.#missing > 0) return;
    this.#answer = null;
    // A service may close a connection on which nothing is under way.
    this.#failed = null;
    this.#done!(answer);
  }
}

export function headerOf({ head }: Answer, name: string): string | null {
  return new RegExp(`^${name}: *(.*?)\\r?$`, 'im').exec(head)?.[1] ?? null;
}

/** The bytes of a request. */
export function requestBytes(
  method: 'GET' | 'POST' | 'PUT',
  path: string,
  headers: Readonly<Record<string, string>> = {},
  body: Uint8Array = NOTHING,
): Uint8Array {
  const lines = [`${method} ${path} HTTP/1.1`, 'Host: 127.0.0.1', `Content-Length: ${body.length}`];
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}${HEAD_END}`, 'latin1'), body]);
}
