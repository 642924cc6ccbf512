import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { REQUEST_TIMEOUT } from './client-errors.ts';
import { responseOn, unfinishedRequestOn, unsentBytes } from './http-socket.ts';

/** Milliseconds that a connection may hold something up for. */
export interface ConnectionTimes {
  /** How long no byte of an answer may leave. */
  readonly unreadMs: number;
  /** How long a client may be silent while the server closes, where no answer is under way. */
  readonly silentMs: number;
  /** How often the connections are looked at. */
  readonly checkMs: number;
  /** How often, while the server closes. */
  readonly closingCheckMs: number;
}

export const CONNECTION_TIMES: ConnectionTimes = {
  // As long as a request may take to arrive. Any reader that is alive takes something in this time, and one that does
  // not holds a place in the queue, and the memory of its answer.
  unreadMs: 30_000,
  // For bytes that are on their way: several times what the slowest networks take.
  silentMs: 1000,
  checkMs: 5000,
  closingCheckMs: 50,
};

/** What has moved on a connection, as far as it was looked at. */
interface Progress {
  answering: boolean;
  bytes: number;
  sinceMs: number;
}

/**
 * The open connections of a server, looked at from time to time, so that none of them holds up others, or the end of
 * the server, for ever. Nothing of this is done per request.
 */
export class Connections {
  readonly #server: Server;
  readonly #times: ConnectionTimes;
  readonly #onUnread: (socket: Socket) => void;
  readonly #open = new Map<Socket, Progress>();

  /** `onUnread` is told of each connection that is destroyed since its client does not read. */
  constructor(server: Server, times: ConnectionTimes, onUnread: (socket: Socket) => void) {
    this.#server = server;
    this.#times = times;
    this.#onUnread = onUnread;
    server.on('connection', (socket: Socket) => {
      this.#open.set(socket, { answering: false, bytes: 0, sinceMs: performance.now() });
      socket.once('close', () => this.#open.delete(socket));
    });
    server.once('listening', () => this.#every(times.checkMs, () => this.#check()));
    this.#keepAnswersFromClosing();
  }

  /** To be called when the server begins to close: from now on no connection is kept that nothing comes of. */
  startClosing(): void {
    const startMs = performance.now();
    this.#every(this.#times.closingCheckMs, () => {
      this.#server.closeIdleConnections();
      this.#check();
      this.#closeSilent();
      this.#refuseLate(performance.now() - startMs);
    });
  }

  #every(ms: number, look: () => void): void {
    const timer = setInterval(look, ms).unref();
    this.#server.once('close', () => clearInterval(timer));
  }

  /**
   * To Node, a connection is idle as soon as its answer has been handed over, and is destroyed with all that the client
   * has still to read. Until that is out, no connection is closed for being idle.
   */
  #keepAnswersFromClosing(): void {
    const server = this.#server;
    const closeIdle = server.closeIdleConnections.bind(server);
    server.closeIdleConnections = () => {
      for (const socket of this.#open.keys()) if (responseOn(socket)?.writableEnded) return;
      closeIdle();
    };
  }

  /** Sees what has moved, and destroys the connections whose clients do not read their answers. */
  #check(): void {
    const now = performance.now();
    for (const [socket, progress] of this.#open) {
      const answering = responseOn(socket) !== null;
      const unsent = answering ? unsentBytes(socket) : 0;
      const bytes = answering ? socket.bytesWritten - unsent : socket.bytesRead;
      const isWaiting = answering && unsent === 0;
      if (isWaiting || answering !== progress.answering || bytes !== progress.bytes) {
        Object.assign(progress, { answering, bytes, sinceMs: now });
      } else if (answering && now - progress.sinceMs >= this.#times.unreadMs) {
        this.#onUnread(socket);
        socket.destroy();
      }
    }
  }

  #closeSilent(): void {
    const latest = performance.now() - this.#times.silentMs;
    for (const [socket, { answering, sinceMs }] of this.#open) {
      if (!answering && sinceMs <= latest) socket.destroy();
    }
  }

  /** Node ends its looking for requests that take too long to arrive when a server begins to close. */
  #refuseLate(closingMs: number): void {
    const { headersTimeout, requestTimeout } = this.#server;
    if (closingMs < headersTimeout) return;
    for (const socket of this.#open.keys()) {
      const isBodyLate = unfinishedRequestOn(socket) !== null && closingMs >= requestTimeout;
      const isHeadLate = unfinishedRequestOn(socket) === null && responseOn(socket) === null;
      if (isBodyLate || isHeadLate) this.#server.emit('clientError', new RequestTimeout(), socket);
    }
  }
}

/** As Node's HTTP server names it. */
class RequestTimeout extends Error {
  readonly code = REQUEST_TIMEOUT;
}
