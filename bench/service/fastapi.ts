import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { jsonExchange, rawExchange } from './exchange.ts';
import { ServiceProcess } from './service-process.ts';
import type { Service, StartOptions } from './services.ts';
import { bytesOf } from './workload.ts';

const SCRIPT = fileURLToPath(new URL('../peers-service/fastapi_torch.py', import.meta.url));
const WEIGHTS = ['w_q', 'w_k', 'w_v', 'w_o'];

/** glibc gives memory of this size back at once and takes fresh pages for the next tensor, which takes PyTorch longer. */
const KEPT_MEMORY = { MALLOC_MMAP_THRESHOLD_: String(2 ** 28), MALLOC_TRIM_THRESHOLD_: String(2 ** 28) };

/** FastAPI, uvicorn and PyTorch; null where no Python has them. */
export async function startFastApi({ workloads, pythons }: StartOptions): Promise<Service | null> {
  const python = await findPython(pythons);
  if (python === null) return null;
  const directory = await mkdtemp(join(tmpdir(), 'attention-weights-'));
  const layers = workloads.map(({ shape, tokens, width }) => {
    return { name: shape.name, tokens, width, heads: shape.heads };
  });
  await writeFile(join(directory, 'layers.json'), JSON.stringify(layers));
  for (const { shape, inputs } of workloads)
    for (const name of WEIGHTS)
      await writeFile(join(directory, `${shape.name}.${name}.f32`), bytesOf(inputs[name].data));
  const service = await ServiceProcess.start({
    program: python,
    arguments: [SCRIPT, directory],
    environment: KEPT_MEMORY,
    readyPath: '/health',
  });
  return {
    name: 'fastapi',
    process: service,
    exchanges: (workload, format) => [
      format === 'raw'
        ? rawExchange(`/${workload.shape.name}/raw`, workload)
        : jsonExchange(`/${workload.shape.name}/json`, workload, 'embeddings', 'output'),
    ],
    stop: async () => {
      await service.stop();
      await rm(directory, { recursive: true });
    },
  };
}

async function findPython(pythons: readonly string[]): Promise<string | null> {
  for (const python of pythons) {
    try {
      await promisify(execFile)(python, ['-c', 'import fastapi, torch, uvicorn']);
      return python;
    } catch {
      // the next one
    }
  }
  return null;
}
