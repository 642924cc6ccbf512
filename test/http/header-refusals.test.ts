import { readFileSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { listen, post, send, type TestService } from './support.ts';

// biome-ignore lint/suspicious/noExplicitAny: a document is read here as its users read it.
type Document = any;

const COMMITTED: Document = JSON.parse(readFileSync('openapi/openapi.json', 'utf8'));
const OPERATIONS = Object.entries<Document>(COMMITTED.paths).flatMap(([path, item]) =>
  Object.entries<Document>(item).map(([method, operation]) => ({ path, method, operation })),
);
type Operation = (typeof OPERATIONS)[number];

const ajv = new Ajv2020({ strict: false, validateFormats: false });
ajv.addSchema(COMMITTED, 'document');

let service: TestService;
beforeAll(async () => {
  service = await listen();
});
afterAll(() => service.close());

/** What a client may send with a request, and a status that some operation answers it with. */
const HEADERS: readonly (readonly [headers: Record<string, string>, status: number])[] = [
  [{}, 200],
  [{ accept: 'text/csv' }, 406],
  [{ accept: ';;;' }, 200],
  [{ 'accept-encoding': 'identity;q=0' }, 406],
  [{ 'accept-encoding': 'br, identity;q=0' }, 200],
  [{ 'accept-encoding': '*;q=0' }, 406],
  [{ 'content-type': 'text/csv' }, 415],
  [{ 'content-type': '???' }, 415],
  [{ 'content-type': '' }, 415],
  [{ 'content-type': 'application/json; charset=latin1' }, 415],
  [{ 'content-encoding': 'compress' }, 415],
  [{ 'content-encoding': 'gzip, br' }, 415],
  [{ 'content-encoding': 'gzip' }, 400],
  [{ 'content-encoding': 'zstd' }, 400],
  [{ 'content-length': '99999999999' }, 413],
  [{ 'x-deadline-ms': 'soon' }, 400],
  [{ 'if-match': 'x' }, 400],
  [{ 'if-match': '"x"' }, 412],
  [{ 'if-none-match': 'x' }, 400],
  [{ 'if-none-match': '*' }, 304],
  [{ 'if-modified-since': 'x', range: 'bytes=0-1' }, 200],
  [{ 'inference-header-content-length': 'x' }, 400],
  [{ 'inference-header-content-length': '9' }, 400],
  [{ expect: 'something' }, 417],
  [{ traceparent: 'x', 'x-request-id': ';' }, 200],
  [{ 'x-large': 'a'.repeat(17_000) }, 431],
];

it.each(HEADERS)(
  '%o is taken or refused as the document says, by every operation',
  async (headers, status) => {
    const seen = new Set<number>();
    for (const operation of OPERATIONS) seen.add(await sendAndCheck(operation, headers));
    expect([...seen]).toContain(status);
  },
);

it('what cannot be decoded in an address is refused so too', async () => {
  for (const operation of OPERATIONS.filter(({ path }) => path.includes('{'))) {
    const path = operation.path.replace(/\{\w+\}/g, '%ff');
    expect(await sendAndCheck({ ...operation, path }, {})).toBe(400);
    const long = operation.path.replace(/\{\w+\}/g, 'a'.repeat(1000));
    expect([400, 404]).toContain(await sendAndCheck({ ...operation, path: long }, {}));
  }
});

/** Sends the first example of an operation with these headers, holds the answer to the document, and gives its status. */
async function sendAndCheck(
  { path, method, operation }: Operation,
  headers: Record<string, string>,
): Promise<number> {
  const { status, type, body } = await exchange(method, await addressOf(path, operation), headers, operation);
  if (method === 'delete') there.clear();
  const what = `${method} ${path} ${JSON.stringify(headers)} ${body}`.slice(0, 400);
  const documented = operation.responses[status];
  expect(documented, `${status} ${what}`).toBeDefined();
  if (status < 400) return status;
  const { schema, examples } = documented.content[type] ?? {};
  expect(schema, `${type} ${what}`).toBeDefined();
  const answer = JSON.parse(body);
  ajv.validate(`document${schema.$ref}`, answer);
  expect(ajv.errors, what).toBeNull();
  if (!path.startsWith('/v2')) expect(Object.keys(examples), what).toContain(answer.code);
  return status;
}

/** The address of an operation on a layer, a session or a model that there is. */
async function addressOf(path: string, { parameters = [] }: Document): Promise<string> {
  if (path.includes('{layer}')) return path.replace('{layer}', await register('example'));
  if (path.includes('{session_id}') || path === '/v1/sessions') {
    return path.replace('{session_id}', await begin(await register('encoder.layer.0')));
  }
  const named = (parameters as Document[]).filter((one) => one.in === 'path');
  return named.reduce((address, { name, example }) => address.replace(`{${name}}`, example), path);
}

/** Layers that are registered, and the session that is begun, since something was deleted. */
const there = new Map<string, string>();

async function begin(layer: string): Promise<string> {
  const id = there.get('session') ?? (await post(`${service.url}/v1/sessions`, { layer })).json.session_id;
  there.set('session', id);
  return id;
}

async function register(layer: string): Promise<string> {
  if (there.has(layer)) return layer;
  there.set(layer, layer);
  const { examples } = COMMITTED.paths['/v1/layers/{layer}'].put.requestBody.content['application/json'];
  const [{ value }] = Object.values<Document>(examples);
  const headers = { 'content-type': 'application/json' };
  await send(`${service.url}/v1/layers/${layer}`, { method: 'PUT', headers, body: JSON.stringify(value) });
  return layer;
}

async function exchange(
  method: string,
  path: string,
  headers: Record<string, string>,
  { requestBody }: Document,
) {
  const [example] = Object.values<Document>(requestBody?.content['application/json'].examples ?? {});
  const sent = example === undefined ? '' : JSON.stringify(example.value);
  const length = example === undefined ? {} : { 'content-length': Buffer.byteLength(sent) };
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const outgoing = request(
    service.url + path,
    { method, headers: { ...length, ...headers }, agent: false },
    resolve,
  );
  outgoing.on('error', reject);
  // A length that is too large is refused before the body: there is none.
  if ('content-length' in headers) outgoing.flushHeaders();
  else outgoing.end(sent);
  const response = await promise;
  const body = await text(response);
  outgoing.on('error', () => {}).destroy();
  return { status: response.statusCode as number, type: String(response.headers['content-type']), body };
}
