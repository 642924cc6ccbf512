import { setTimeout as sleep } from 'node:timers/promises';
import { Connection, requestBytes } from './connection.ts';
import type { Generator, Load } from './generator.ts';
import type { LoopDelay } from './loop-delay.ts';
import { type Service, type ServiceName, TITLES } from './services.ts';
import type { Workload } from './workload.ts';

/** Milliseconds of a small request, alone and while large bodies flow. */
export interface Probe {
  readonly name: string;
  readonly idle: Latencies;
  readonly loaded: Latencies;
}

interface Latencies {
  readonly p50: number;
  readonly p99: number;
}

/** What large bodies do to a service that others use at the same time. */
export interface Loop {
  readonly service: ServiceName;
  readonly load: Load;
  readonly delay: LoopDelay;
  readonly probes: readonly Probe[];
}

const CONCURRENCY = 8;
const SECONDS = 6;
/** Before the loop is watched: connections are opened, the first bodies come. */
const SETTLE_MS = 1000;
/** Between two requests of a probe. */
const PAUSE_MS = 5;

/**
 * Base as JSON, 7.5 MB a request, on 8 connections, and with it two small requests in turns: one that only the event
 * loop answers, and a tiny layer, which also takes a worker.
 */
export async function measureLoop(
  services: readonly Service[],
  workloads: readonly Workload[],
  generator: Generator,
): Promise<Loop[]> {
  const base = workloads.find(({ shape }) => shape.name === 'base');
  const tiny = workloads.find(({ shape }) => shape.name === 'tiny');
  if (base === undefined || tiny === undefined) return [];
  const loops: Loop[] = [];
  for (const service of services.filter(({ process }) => process.watched)) {
    console.log(`${TITLES[service.name]}: watching the event loop`);
    const [exchange] = service.exchanges(base, 'json');
    const [small] = service.exchanges(tiny, 'raw');
    const requests = new Map([
      ['health', requestBytes('GET', service.process.readyPath)],
      ['tiny', small.request],
    ]);
    const { port } = service.process;
    const connection = await Connection.open(port);
    try {
      const idle = await probe(connection, requests, SECONDS / 2);
      const running = generator.run({
        port,
        request: exchange.request,
        concurrency: CONCURRENCY,
        warmUp: SETTLE_MS / 1000,
        seconds: SECONDS + 1,
        once: false,
      });
      await sleep(SETTLE_MS);
      service.process.watchLoop();
      const loaded = await probe(connection, requests, SECONDS);
      const delay = await service.process.loopDelay();
      const load = await running;
      const probes = [...requests.keys()].map((name) => {
        return { name, idle: idle.get(name)!, loaded: loaded.get(name)! };
      });
      loops.push({ service: service.name, load, delay, probes });
    } finally {
      connection.close();
    }
  }
  return loops;
}

async function probe(
  connection: Connection,
  requests: ReadonlyMap<string, Uint8Array>,
  seconds: number,
): Promise<Map<string, Latencies>> {
  const times = new Map([...requests.keys()].map((name) => [name, [] as number[]]));
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end)
    for (const [name, request] of requests) {
      await sleep(PAUSE_MS);
      const start = performance.now();
      const { status, head } = await connection.request(request);
      times.get(name)!.push(performance.now() - start);
      if (status !== 200) throw new Error(`Expected 200 of the probe ${name}; got ${head}`);
    }
  return new Map([...times].map(([name, list]) => [name, latencies(list)]));
}

function latencies(times: number[]): Latencies {
  times.sort((a, b) => a - b);
  const quantile = (part: number) => times[Math.min(times.length - 1, Math.floor(part * times.length))];
  return { p50: quantile(0.5), p99: quantile(0.99) };
}
