import { Pool } from 'undici';
import { startService as startProcess } from './service-process.ts';

/** The running service, spoken to over HTTP. */
export interface Service {
  /** Posts bytes as they stand. */
  send(request: RawRequest): Promise<RawAnswer>;
  /** Posts JSON. */
  post(path: string, body: object): Promise<JsonAnswer>;
  /** Posts a body that must be taken, and gives the answer. */
  ask(path: string, body: object): Promise<JsonAnswer['json']>;
  close(): Promise<void>;
}

export interface RawRequest {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | string;
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
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
  const send = async ({ path, headers, body }: RawRequest): Promise<RawAnswer> => {
    const answer = await pool.request({ path, method: 'POST', headers: { ...headers }, body });
    const { statusCode: status, headers: answered } = answer;
    return { status, headers: answered, body: Buffer.from(await answer.body.arrayBuffer()) };
  };
  const post = async (path: string, body: object): Promise<JsonAnswer> => {
    const headers = { 'content-type': 'application/json' };
    const answer = await send({ path, headers, body: JSON.stringify(body) });
    return { status: answer.status, json: JSON.parse(answer.body.toString()) };
  };
  return {
    send,
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
