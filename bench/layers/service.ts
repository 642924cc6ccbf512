import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { writeSafetensors } from '../../src/wire/safetensors/write.ts';
import { type Connection, requestBytes } from '../service/connection.ts';
import { ServiceProcess } from '../service/service-process.ts';
import { startArguments } from '../start-command.ts';

const SAFETENSORS = { 'content-type': 'application/vnd.safetensors' };

/** The service as `npm start` starts it, but for its log of requests and what `environment` says, once it is ready. */
export async function start(
  dataDir: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<ServiceProcess> {
  return ServiceProcess.start({
    // Named, so that nothing is loaded into the process that its users do not load.
    program: process.execPath,
    arguments: await startArguments(),
    environment: { DATA_DIR: dataDir, HOST: '127.0.0.1', LOG_LEVEL: 'warn', ...environment },
    readyPath: '/health/ready',
  });
}

/** A layer of four matrices of float32, whose numbers depend on another. */
export function layerFile(width: number, number: number): Uint8Array<ArrayBuffer> {
  return fileOf(
    ['w_q', 'w_k', 'w_v', 'w_o'].map((name) => [name, width, width] as const),
    number,
  );
}

/** Matrices by name, rows and columns. */
function fileOf(
  matrices: readonly (readonly [string, number, number])[],
  number = 0,
): Uint8Array<ArrayBuffer> {
  return writeSafetensors(
    new Map(
      matrices.map(([name, rows, columns]) => {
        const value = (at: number) => Math.sin(at + number) / columns;
        const numbers = Float32Array.from({ length: rows * columns }, (_, at) => value(at));
        const bytes = new Uint8Array(numbers.buffer);
        return [name, { dtype: 'F32', shape: [rows, columns], bytes }];
      }),
    ),
  );
}

/** Tokens for a layer, their answer asked for as bytes too. */
export function callOf(name: string, tokens: number, width: number): Uint8Array {
  const headers = { ...SAFETENSORS, accept: SAFETENSORS['content-type'] };
  return requestBytes(
    'POST',
    `/v1/layers/${name}/attention`,
    headers,
    fileOf([['embeddings', tokens, width]]),
  );
}

export async function call(connection: Connection, request: Uint8Array): Promise<void> {
  const { status, head } = await connection.request(request);
  if (status !== 200) throw new Error(`Expected an answer; got ${head}`);
}

/** By node:http, which writes a body in one go: fetch takes as long to send it as the service to keep it. */
export async function put(port: number, name: string, heads: number, file: Uint8Array): Promise<void> {
  const path = `/v1/layers/${name}?heads=${heads}`;
  const headers = { ...SAFETENSORS, 'content-length': file.byteLength };
  const sent = request({ host: '127.0.0.1', port, path, method: 'PUT', headers }).end(file);
  const [reply] = (await once(sent, 'response')) as [IncomingMessage];
  const body = await text(reply);
  if (reply.statusCode !== 200 && reply.statusCode !== 201) throw new Error(`PUT ${name}: ${body}`);
}
