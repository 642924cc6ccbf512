/**
 * Registering layers beside a plain write of the same bytes, and starting with many of them: `npm run bench:layers`.
 * Leave the machine alone meanwhile; see README.md.
 */
import { once } from 'node:events';
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { writeSafetensors } from '../src/wire/safetensors/write.ts';
import { ServiceProcess } from './service/service-process.ts';

/** Four matrices of float32, 10 MB. */
const WIDTH = 800;
const HEADS = 8;
const ROUNDS = 20;
const LAYERS = 100;
const TYPE = { 'content-type': 'application/vnd.safetensors' };

/** A file whose content depends on a number, so that none is there already. */
function fileOf(number: number): Uint8Array<ArrayBuffer> {
  const matrix = () => {
    const numbers = Float32Array.from({ length: WIDTH * WIDTH }, (_, at) => Math.sin(at + number) / WIDTH);
    return { dtype: 'F32', shape: [WIDTH, WIDTH], bytes: new Uint8Array(numbers.buffer) } as const;
  };
  return writeSafetensors(new Map(['w_q', 'w_k', 'w_v', 'w_o'].map((name) => [name, matrix()])));
}

/** Milliseconds of a piece of work. */
async function timed(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await work();
  return performance.now() - startMs;
}

/** What a registration cannot do without: the bytes on the disk. */
async function writeAndSync(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'w');
  await file.writeFile(bytes);
  await file.sync();
  await file.close();
}

/** By node:http, which writes a body in one go: fetch takes as long to send it as the service to keep it. */
async function put(port: number, name: string, file: Uint8Array): Promise<void> {
  const path = `/v1/layers/${name}?heads=${HEADS}`;
  const headers = { ...TYPE, 'content-length': file.byteLength };
  const sent = request({ host: '127.0.0.1', port, path, method: 'PUT', headers }).end(file);
  const [reply] = (await once(sent, 'response')) as [IncomingMessage];
  const body = await text(reply);
  if (reply.statusCode !== 200 && reply.statusCode !== 201) throw new Error(`PUT ${name}: ${body}`);
}

const TOKENS = JSON.stringify({
  embeddings: {
    dtype: 'float32',
    shape: [16, WIDTH],
    data: Buffer.from(Float32Array.from({ length: 16 * WIDTH }, (_, at) => Math.cos(at)).buffer).toString(
      'base64',
    ),
  },
  response: { encoding: 'base64' },
});

async function call(port: number, name: string): Promise<void> {
  const address = `http://127.0.0.1:${port}/v1/layers/${name}/attention`;
  const reply = await fetch(address, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: TOKENS,
  });
  if (!reply.ok) throw new Error(`POST ${name}: ${reply.status} ${await reply.text()}`);
  await reply.arrayBuffer();
}

async function start(dataDir: string): Promise<ServiceProcess> {
  const environment = { DATA_DIR: dataDir, HOST: '127.0.0.1', LOG_LEVEL: 'warn' };
  running = await ServiceProcess.start({
    arguments: ['src/start.mjs'],
    environment,
    readyPath: '/health/ready',
  });
  return running;
}

/** Milliseconds until a service is ready, and the service. */
async function started(dataDir: string): Promise<readonly [number, ServiceProcess]> {
  const startMs = performance.now();
  const service = await start(dataDir);
  return [performance.now() - startMs, service];
}

const median = (samples: readonly number[]) => [...samples].sort((a, b) => a - b)[samples.length >> 1];
const row = (title: string, samples: readonly number[], note = '') =>
  console.log(`| ${title} | ${Math.min(...samples).toFixed(1)} | ${median(samples).toFixed(1)} | ${note} |`);

const root = fileURLToPath(new URL('../data/', import.meta.url));
await mkdir(root, { recursive: true });
const folder = await mkdtemp(join(root, 'bench-'));
let running: ServiceProcess | undefined;
try {
  const service = await start(folder);
  const [plain, registered]: number[][] = [[], []];
  const bytes = fileOf(0).byteLength;
  for (let round = 0; round < ROUNDS; round++) {
    const file = fileOf(round);
    plain.push(await timed(() => writeAndSync(join(folder, 'plain'), file)));
    registered.push(await timed(() => put(service.port, 'registered', file)));
  }
  for (let layer = 1; layer < LAYERS; layer++)
    await put(service.port, `layer-${layer}`, fileOf(ROUNDS + layer));
  await service.stop();

  const [empty, starts, first, second]: number[][] = [[], [], [], []];
  for (let round = 0; round < 5; round++) {
    const [emptyMs, other] = await started(join(folder, 'empty'));
    empty.push(emptyMs);
    await other.stop();
    const [startMs, restarted] = await started(folder);
    starts.push(startMs);
    const { port } = restarted;
    first.push(await timed(() => call(port, 'registered')));
    second.push(await timed(() => call(port, 'registered')));
    await restarted.stop();
  }

  console.log(`\n| ms | minimum | median | |\n|---|---|---|---|`);
  row(`write + fsync of ${(bytes / 1e6).toFixed(1)} MB`, plain);
  const ratio = Math.min(...registered) / Math.min(...plain);
  const medians = median(registered) / median(plain);
  row(
    'registering the same',
    registered,
    `${ratio.toFixed(2)} times at the minimum, ${medians.toFixed(2)} at the median`,
  );
  row('start until ready, no layers', empty, 'the process, its threads, its modules');
  row(`start until ready, ${LAYERS} layers on disk`, starts);
  row('first call of a layer', first, 'read, checked, packed and computed');
  row('second call', second, '16 tokens');
} finally {
  await running?.stop();
  await rm(folder, { recursive: true });
}
