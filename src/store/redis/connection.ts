import { setTimeout as delay } from 'node:timers/promises';
import { createClient, ErrorReply } from '@redis/client';
import type { StoreLogger } from '../logger.ts';

const CONNECT_MS = 5000;
const LONGEST_RETRY_MS = 2000;

export interface ConnectionOptions {
  readonly url: string;
  readonly logger: StoreLogger;
  /** How long Redis may answer nothing while something is waited for, ms. */
  readonly commandMs: number;
}

export type Client = ReturnType<typeof clientOf>;

/**
 * A connection to Redis that answers or is dropped. Redis answers in order: where nothing has come for `commandMs` though
 * commands wait, none of them will be answered soon, and all fail. What is asked until there is a connection again fails at
 * once: callers are told to come again, not kept waiting. What has failed so may be carried out all the same.
 */
export class Connection {
  readonly #options: ConnectionOptions;
  #client: Client;
  /** Commands without an answer, and the time that is left for the next one. */
  #waiting = 0;
  #watch: NodeJS.Timeout | undefined;
  #isClosed = false;
  #lastError: Error | null = null;

  private constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#client = this.#newClient();
  }

  /**
   * Connects, and asks for something that has to work. Throws what the server refuses that with, or the reason why there is
   * no connection after some seconds.
   */
  static async open(
    options: ConnectionOptions,
    ask: (client: Client) => Promise<unknown>,
  ): Promise<Connection> {
    const connection = new Connection(options);
    try {
      await connection.#connectFirst();
      await connection.ask(ask).catch((error: Error) => {
        // It reads what it has written to disk, and answers in a while.
        if (!error.message.startsWith('LOADING')) throw error;
      });
    } catch (error) {
      connection.#client.destroy();
      throw error;
    }
    return connection;
  }

  /** Runs commands. Throws what the server refuses them with, or why they have no answer. */
  async ask<Result>(commands: (client: Client) => Promise<Result>): Promise<Result> {
    if (this.#waiting++ === 0) this.#watch = setTimeout(() => this.#drop(), this.#options.commandMs);
    try {
      return await commands(this.#client);
    } finally {
      if (--this.#waiting === 0) clearTimeout(this.#watch);
      else this.#watch?.refresh();
    }
  }

  /** Waits for what is under way, which is given up after `commandMs` here too. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#client.isReady) {
      const late = delay(this.#options.commandMs, undefined, { ref: false });
      await Promise.race([this.#client.close(), late]);
    }
    this.#client.destroy();
  }

  async #connectFirst(): Promise<void> {
    const connected = this.#client.connect();
    connected.catch(() => undefined);
    // The client would go on trying; but a server that answers with an error answers the same the next time.
    const refused = new Promise<never>((_resolve, reject) => {
      this.#client.on('error', (error: Error) => {
        if (error instanceof ErrorReply) reject(error);
      });
    });
    const late = delay(CONNECT_MS, undefined, { ref: false }).then(() => {
      throw this.#lastError ?? new Error('Redis does not answer.');
    });
    for (const failure of [refused, late]) failure.catch(() => undefined);
    await Promise.race([connected, refused, late]);
  }

  #drop(): void {
    const { commandMs, logger } = this.#options;
    logger.error(
      { waiting: this.#waiting },
      `Redis has answered nothing for ${commandMs} ms; the connection is dropped.`,
    );
    const dropped = this.#client;
    if (!this.#isClosed) {
      this.#client = this.#newClient();
      // It tries until it succeeds or is destroyed, and says so each time.
      this.#client.connect().catch(() => undefined);
    }
    dropped.destroy();
  }

  #newClient(): Client {
    const client = clientOf(this.#options);
    client.on('error', (error: Error) => {
      this.#lastError = error;
      this.#options.logger.error({ err: error }, 'The connection to Redis failed.');
    });
    return client;
  }
}

/**
 * The socket has a bound of its own for what is not asked here: the greeting of a server that takes connections and is
 * silent, and connections that nobody uses, which a PING now and then keeps alive or shows to be dead.
 */
function clientOf({ url, commandMs }: ConnectionOptions) {
  return createClient({
    url,
    disableOfflineQueue: true,
    pingInterval: commandMs / 2,
    socket: {
      connectTimeout: CONNECT_MS,
      socketTimeout: commandMs,
      reconnectStrategy: (retries) => Math.min(LONGEST_RETRY_MS, 50 * 2 ** Math.min(retries, 10)),
    },
  });
}
