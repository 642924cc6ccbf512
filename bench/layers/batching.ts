import { join } from 'node:path';
import { Generator } from '../service/generator.ts';
import type { ServiceProcess } from '../service/service-process.ts';
import { callOf, layerFile, put, start } from './service.ts';
import { type Row, ratios } from './table.ts';

const WIDTH = 768;
const HEADS = 12;
const TOKENS = 16;
const CONCURRENCY = 32;
const ROUNDS = 5;
const REQUEST = callOf('batched', TOKENS, WIDTH);

/** Many calls of one layer at a time, by a service that computes waiting calls together and by one that does not. */
export async function measureBatching(folder: string): Promise<Row[]> {
  const generator = new Generator();
  const services: ServiceProcess[] = [];
  try {
    for (const environment of [{}, { MAX_BATCH_CALLS: '1' }]) {
      const service = await start(join(folder, `batching-${services.length}`), environment);
      services.push(service);
      await put(service.port, 'batched', HEADS, layerFile(WIDTH, 0));
    }
    const loads = services.map(() => ({ perCall: [] as number[], p99: [] as number[] }));
    for (let round = 0; round < ROUNDS; round++) {
      for (const [index, { port }] of services.entries()) {
        const load = { port, request: REQUEST, concurrency: CONCURRENCY, once: false };
        const { requestsPerSecond, p99 } = await generator.run({ ...load, warmUp: 1, seconds: 2 });
        loads[index].perCall.push(1000 / requestsPerSecond);
        loads[index].p99.push(p99);
      }
    }
    const [together, alone] = loads;
    const title = `N${TOKENS} D${WIDTH}, c=${CONCURRENCY}`;
    return [
      { title: `${title}, a call alone`, samples: alone.perCall },
      {
        title: `${title}, batched`,
        samples: together.perCall,
        figure: `throughput ${ratios(alone.perCall, together.perCall)}`,
        asked: '≥ 2.5',
      },
      { title: `${title}, p99 alone`, samples: alone.p99 },
      {
        title: `${title}, p99 batched`,
        samples: together.p99,
        figure: `${ratios(together.p99, alone.p99)}`,
        asked: '< 1',
      },
    ];
  } finally {
    for (const service of services) await service.stop();
    await generator.close();
  }
}
