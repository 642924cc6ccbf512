import { Connection } from '../service/connection.ts';
import { call, callOf, layerFile, put, start } from './service.ts';
import { type Row, timed } from './table.ts';

const WIDTH = 768;
const HEADS = 12;
const TOKENS = 16;
const WARM_UP = 200;
const CALLS = 1000;
const CALL = callOf('called', TOKENS, WIDTH);

/** Calls of one layer, whose weights are in memory. */
export async function measureCalling(folder: string): Promise<Row[]> {
  const service = await start(folder);
  try {
    await put(service.port, 'called', HEADS, layerFile(WIDTH, 0));
    return [await oneAtATime(service.port)];
  } finally {
    await service.stop();
  }
}

/** What a caller waits for where there is no other. */
async function oneAtATime(port: number): Promise<Row> {
  const connection = await Connection.open(port);
  try {
    for (let warm = 0; warm < WARM_UP; warm++) await call(connection, CALL);
    const samples: number[] = [];
    for (let made = 0; made < CALLS; made++) samples.push(await timed(() => call(connection, CALL)));
    return { title: `one call at an idle service, N${TOKENS} D${WIDTH}`, samples };
  } finally {
    connection.close();
  }
}
