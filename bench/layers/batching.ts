import { join } from 'node:path';
import { Generator } from '../service/generator.ts';
import type { ServiceProcess } from '../service/service-process.ts';
import { callOf, layerFile, put, start } from './service.ts';
import { type Row, ratios } from './table.ts';

const WIDTH = 768;
const HEADS = 12;
const TOKENS = 16;
const MANY = 32;
const ROUNDS = 5;
const REQUEST = callOf('batched', TOKENS, WIDTH);

/** Milliseconds, one for each round. */
interface Times {
  readonly perCall: number[];
  readonly p50: number[];
  readonly p99: number[];
}

/** Calls of one layer by a service that computes waiting calls together, and by one that does not, in turns. */
export async function measureBatching(folder: string): Promise<Row[]> {
  const generator = new Generator();
  const services: ServiceProcess[] = [];
  try {
    for (const environment of [{}, { MAX_BATCH_CALLS: '1' }]) {
      const service = await start(join(folder, `batching-${services.length}`), environment);
      services.push(service);
      await put(service.port, 'batched', HEADS, layerFile(WIDTH, 0));
    }
    const ports = services.map(({ port }) => port);
    const [together, alone] = await inTurns(generator, ports, MANY);
    const [one, oneAlone] = await inTurns(generator, ports, 1);
    const many = `N${TOKENS} D${WIDTH}, c=${MANY}`;
    const throughput = `throughput ${ratios(alone.perCall, together.perCall)}`;
    const idle = `one call at a time, N${TOKENS} D${WIDTH}`;
    return [
      { title: `${many}, each alone: a call`, samples: alone.perCall },
      { title: `${many}, batched: a call`, samples: together.perCall, figure: throughput, asked: '≥ 2.5' },
      { title: `${many}, each alone: p99`, samples: alone.p99 },
      {
        title: `${many}, batched: p99`,
        samples: together.p99,
        figure: ratios(together.p99, alone.p99),
        asked: '< 1',
      },
      { title: `${idle}, without batching: p50`, samples: oneAlone.p50 },
      { title: `${idle}: p50`, samples: one.p50, figure: ratios(one.p50, oneAlone.p50), asked: '≤ 1.03' },
    ];
  } finally {
    for (const service of services) await service.stop();
    await generator.close();
  }
}

async function inTurns(
  generator: Generator,
  ports: readonly number[],
  concurrency: number,
): Promise<Times[]> {
  const times: Times[] = ports.map(() => ({ perCall: [], p50: [], p99: [] }));
  for (let round = 0; round < ROUNDS; round++) {
    for (const [index, port] of ports.entries()) {
      const load = { port, request: REQUEST, concurrency, once: false, warmUp: 1, seconds: 2 };
      const { requestsPerSecond, p50, p99 } = await generator.run(load);
      times[index].perCall.push(1000 / requestsPerSecond);
      times[index].p50.push(p50);
      times[index].p99.push(p99);
    }
  }
  return times;
}
