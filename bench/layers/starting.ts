import { join } from 'node:path';
import { Connection } from '../service/connection.ts';
import { call, callOf, layerFile, put, start } from './service.ts';
import { type Row, timed } from './table.ts';

/** Four matrices of float32, 10 MB. */
const WIDTH = 800;
const HEADS = 8;
const LAYERS = 100;
const ROUNDS = 5;
const TOKENS = 16;
const CALL = callOf('layer-0', TOKENS, WIDTH);

/** Starts with many layers on disk, in turns with none; and the first call of one of them. */
export async function measureStarting(folder: string): Promise<Row[]> {
  await registerMany(folder);
  const [empty, full, first, second]: number[][] = [[], [], [], []];
  for (let round = 0; round < ROUNDS; round++) {
    empty.push(await startOnce(join(folder, 'empty')));
    full.push(
      await startOnce(folder, async (port) => {
        const connection = await Connection.open(port);
        first.push(await timed(() => call(connection, CALL)));
        second.push(await timed(() => call(connection, CALL)));
        connection.close();
      }),
    );
  }
  return [
    {
      title: 'start until ready, no layers',
      samples: empty,
      figure: 'the process, its threads, its modules',
    },
    { title: `start until ready, ${LAYERS} layers on disk`, samples: full, asked: 'less than 1000 ms' },
    { title: 'first call of a layer', samples: first, figure: 'read, checked, packed and computed' },
    { title: 'second call', samples: second, figure: `${TOKENS} tokens` },
  ];
}

async function registerMany(folder: string): Promise<void> {
  const service = await start(folder);
  try {
    for (let number = 0; number < LAYERS; number++)
      await put(service.port, `layer-${number}`, HEADS, layerFile(WIDTH, number));
  } finally {
    await service.stop();
  }
}

/** Milliseconds until a service is ready, which is then made use of and stopped. */
async function startOnce(
  folder: string,
  use: (port: number) => Promise<void> = async () => {},
): Promise<number> {
  const startMs = performance.now();
  const service = await start(folder);
  const readyMs = performance.now() - startMs;
  try {
    await use(service.port);
  } finally {
    await service.stop();
  }
  return readyMs;
}
