import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { layerGraphs } from '../onnx/layer-graphs.ts';
import { jsonExchange, rawExchange } from './exchange.ts';
import { ServiceProcess } from './service-process.ts';
import type { Service, StartOptions } from './services.ts';

const SCRIPT = fileURLToPath(new URL('../peers-service/fastify-ort.ts', import.meta.url));

/** Fastify and onnxruntime-node, the weights of each layer in its model. */
export async function startOnnxRuntime({ workloads }: StartOptions): Promise<Service> {
  const directory = await mkdtemp(join(tmpdir(), 'attention-models-'));
  for (const { shape, inputs } of workloads) {
    await mkdir(join(directory, shape.name));
    for (const { name, model } of layerGraphs(shape, inputs, 'constant'))
      await writeFile(join(directory, shape.name, `${name}.onnx`), model);
  }
  const service = await ServiceProcess.start({
    arguments: [SCRIPT, directory],
    readyPath: '/health',
  });
  return {
    name: 'ort',
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
