import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { layerFile, put, start } from './service.ts';
import { type Row, ratios, timed } from './table.ts';

/** Four matrices of float32, 10 MB. */
const WIDTH = 800;
const HEADS = 8;
const ROUNDS = 20;

/** Registers contents that are not there already, in turns with a plain write of the same bytes to the same disk. */
export async function measureRegistering(folder: string): Promise<Row[]> {
  const service = await start(folder);
  try {
    const [plain, registered]: number[][] = [[], []];
    for (let round = 0; round < ROUNDS; round++) {
      const file = layerFile(WIDTH, round);
      plain.push(await timed(() => writeAndSync(join(folder, 'plain'), file)));
      registered.push(await timed(() => put(service.port, 'registered', HEADS, file)));
    }
    const size = `${(layerFile(WIDTH, 0).byteLength / 1e6).toFixed(1)} MB`;
    return [
      { title: `write + fsync of ${size}`, samples: plain },
      {
        title: 'registering the same',
        samples: registered,
        figure: ratios(registered, plain),
        asked: '3 times at the most',
      },
    ];
  } finally {
    await service.stop();
  }
}

/** What a registration cannot do without: the bytes on the disk. */
async function writeAndSync(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'w');
  await file.writeFile(bytes);
  await file.sync();
  await file.close();
}
