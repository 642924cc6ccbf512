import { Pool } from 'undici';
import { startService as startProcess } from './service-process.ts';

/** The running service, spoken to over HTTP as JSON clients do. */
export interface Service {
  post(path: string, body: object): Promise<JsonAnswer>;
  /** Posts a body that must be taken, and gives the answer. */
  ask(path: string, body: object): Promise<JsonAnswer['json']>;
  close(): Promise<void>;
}

export interface JsonAnswer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: tests read the answer as its users do, untyped.
  readonly json: any;
}

/** Starts the service on a free port, in a process of its own, and connects to it. */
export async function startService(env: NodeJS.ProcessEnv = {}): Promise<Service> {
  const service = await startProcess({ env });
  const pool = new Pool(service.url, { connections: 4 });
  const post = async (path: string, body: object): Promise<JsonAnswer> => {
    const { statusCode, body: answer } = await pool.request({
      path,
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    return { status: statusCode, json: await answer.json() };
  };
  return {
    post,
    async ask(path, body) {
      const { status, json } = await post(path, body);
      if (status !== 200) throw new Error(`${path} answered ${status}: ${JSON.stringify(json)}`);
      return json;
    },
    async close() {
      await pool.close();
      await service.stop();
    },
  };
}
