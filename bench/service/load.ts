import { Connection } from './connection.ts';
import type { Load, LoadAnswer, LoadRequest } from './generator.ts';

/*
 * The process that asks. Each connection sends its next request as soon as the last one is answered, so `concurrency`
 * requests are under way at any time. Nothing else happens in here, and the times are kept in memory that is there.
 */

const MOST_REQUESTS = 2 ** 21;
const times = new Float64Array(MOST_REQUESTS);

async function load({ port, concurrency, ...request }: LoadRequest): Promise<Load> {
  const connections: Connection[] = [];
  try {
    for (let at = 0; at < concurrency; at++) connections.push(await Connection.open(port));
    return await new Promise<Load>((resolve, reject) => {
      new Measurement(request, connections, resolve, reject).start();
    });
  } finally {
    for (const connection of connections) connection.close();
  }
}

type Asked = Omit<LoadRequest, 'port' | 'concurrency'>;

/** Times are taken from the answer that ends the warm-up on, until the time is over and enough have come. */
class Measurement {
  readonly #asked: Asked;
  readonly #connections: readonly Connection[];
  readonly #resolve: (load: Load) => void;
  readonly #reject: (error: Error) => void;
  #warmUntil = 0;
  #begun: { readonly at: number; readonly cpu: NodeJS.CpuUsage } | null = null;
  #count = 0;
  #underWay = 0;
  #load: Load | null = null;

  constructor(
    asked: Asked,
    connections: readonly Connection[],
    resolve: (load: Load) => void,
    reject: (error: Error) => void,
  ) {
    this.#asked = asked;
    this.#connections = connections;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  start(): void {
    const now = performance.now();
    if (this.#asked.once) this.#begin(now);
    this.#warmUntil = now + this.#asked.warmUp * 1000;
    for (const connection of this.#connections) this.#ask(connection);
  }

  #begin(now: number): void {
    this.#begun = { at: now, cpu: process.cpuUsage() };
  }

  #ask(connection: Connection): void {
    const sent = performance.now();
    this.#underWay++;
    connection.send(
      this.#asked.request,
      ({ status, head }) => {
        if (status !== 200) this.#reject(new Error(`Expected 200; got ${head}`));
        else this.#answered(connection, sent, performance.now());
      },
      this.#reject,
    );
  }

  #answered(connection: Connection, sent: number, now: number): void {
    this.#underWay--;
    if (this.#load === null) {
      if (this.#begun !== null) times[this.#count++] = now - sent;
      else if (now >= this.#warmUntil) this.#begin(now);
      if (this.#enough(now)) this.#load = this.#summary(now);
      else if (!this.#asked.once) this.#ask(connection);
    }
    // What is still under way would be computed while the next service is measured.
    if (this.#load !== null && this.#underWay === 0) this.#resolve(this.#load);
  }

  #enough(now: number): boolean {
    const { once, seconds } = this.#asked;
    if (once) return this.#underWay === 0;
    if (this.#begun === null || this.#count < 2 * this.#connections.length) return false;
    return now >= this.#begun.at + seconds * 1000 || this.#count === MOST_REQUESTS;
  }

  #summary(now: number): Load {
    const { at, cpu } = this.#begun!;
    const elapsed = now - at;
    const { user, system } = process.cpuUsage(cpu);
    const sorted = times.subarray(0, this.#count).toSorted();
    const quantile = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];
    return {
      requestsPerSecond: (1000 * sorted.length) / elapsed,
      p50: quantile(0.5),
      p99: quantile(0.99),
      max: quantile(1),
      cpu: (user + system) / elapsed / 1000,
    };
  }
}

process.on('message', (request: LoadRequest) => {
  const answer = (message: LoadAnswer) => process.send!(message);
  load(request).then(answer, (error: Error) => answer({ error: error.message }));
});
