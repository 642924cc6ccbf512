import { fileURLToPath } from 'node:url';
import { jsonExchange, rawExchange } from './exchange.ts';
import { ServiceProcess } from './service-process.ts';
import type { Service } from './services.ts';

const SCRIPT = fileURLToPath(new URL('../peers-service/fastify-echo.ts', import.meta.url));

/** What Fastify alone takes for the bytes of a request: nothing with it as it comes can be faster. */
export async function startEcho(): Promise<Service> {
  const service = await ServiceProcess.start({
    arguments: [SCRIPT],
    readyPath: '/health',
  });
  return {
    name: 'echo',
    process: service,
    exchanges: (workload, format) => [
      format === 'raw'
        ? rawExchange('/raw', workload)
        : jsonExchange('/json', workload, 'embeddings', 'embeddings'),
    ],
    stop: () => service.stop(),
  };
}
