import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startArguments } from '../start-command.ts';
import { Connection, requestBytes } from './connection.ts';
import {
  type Exchange,
  type Format,
  jsonExchange,
  kserveExchange,
  safetensors,
  safetensorsExchange,
} from './exchange.ts';
import { ServiceProcess } from './service-process.ts';
import type { Service, StartOptions } from './services.ts';
import { bytesOf, type Workload } from './workload.ts';

const WEIGHTS = ['w_q', 'w_k', 'w_v', 'w_o'];

/** The service of this repository, as `npm start` starts it but for its log of requests: nobody else here keeps one. */
export async function startOurs({ workloads }: StartOptions): Promise<Service> {
  const directory = await mkdtemp(join(tmpdir(), 'attention-data-'));
  const service = await ServiceProcess.start({
    arguments: await startArguments(),
    environment: { HOST: '127.0.0.1', LOG_LEVEL: 'warn', DATA_DIR: directory },
    readyPath: '/health/ready',
  });
  const stop = async () => {
    await service.stop();
    await rm(directory, { recursive: true, force: true });
  };
  try {
    for (const workload of workloads) await register(service.port, workload);
  } catch (error) {
    await stop();
    throw error;
  }
  return { name: 'ours', process: service, exchanges, stop };
}

async function register(port: number, { shape, width, inputs }: Workload): Promise<void> {
  const tensors = WEIGHTS.map((name) => [name, { shape: [width, width], bytes: bytesOf(inputs[name].data) }]);
  const path = `/v1/layers/${shape.name}?mapping=attention&heads=${shape.heads}`;
  const headers = { 'Content-Type': 'application/vnd.safetensors' };
  const connection = await Connection.open(port, { keepBodies: true });
  try {
    const request = requestBytes('PUT', path, headers, safetensors(Object.fromEntries(tensors)));
    const { status, body } = await connection.request(request);
    if (status !== 201) throw new Error(`PUT ${path}: expected 201; got ${status} ${Buffer.from(body)}`);
  } finally {
    connection.close();
  }
}

function exchanges(workload: Workload, format: Format): Exchange[] {
  const { name } = workload.shape;
  const path = `/v1/layers/${name}/attention`;
  if (format === 'json') return [jsonExchange(path, workload, 'embeddings', 'output')];
  return [safetensorsExchange(path, workload), kserveExchange(`/v2/models/${name}/infer`, workload)];
}
