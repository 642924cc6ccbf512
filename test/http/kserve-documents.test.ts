import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { listen, post, send, type TestService } from './support.ts';

// biome-ignore lint/suspicious/noExplicitAny: a document is read here as its users read it.
type Document = any;

const COMMITTED: Document = JSON.parse(readFileSync('openapi/openapi.json', 'utf8'));

const OPERATIONS = Object.entries<Document>(COMMITTED.paths)
  .filter(([path]) => /^\/v2(\/|$)/.test(path))
  .flatMap(([path, item]) =>
    Object.entries<Document>(item).map(([method, operation]) => ({ path, method, operation })),
  );
const POSTS = OPERATIONS.filter(({ method }) => method === 'post').flatMap(({ path, operation }) =>
  Object.entries<Document>(operation.requestBody.content['application/json'].examples).map(
    ([name, { value }]) => [operation.operationId as string, name, path, operation, value] as const,
  ),
);

let service: TestService;
beforeAll(async () => {
  service = await listen();
});
afterAll(() => service.close());

/** The address of an operation, with the examples of its parameters. */
function addressOf(path: string, operation: Document): string {
  const parameters = (operation.parameters ?? []).filter((one: Document) => one.in === 'path');
  return parameters.reduce(
    (address: string, { name, example }: Document) => address.replace(`{${name}}`, example),
    service.url + path,
  );
}

function check(schema: Document, value: unknown): void {
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  ajv.addSchema(COMMITTED, 'document');
  ajv.validate(`document${schema.$ref}`, value);
  expect(ajv.errors).toBeNull();
}

describe('the document of /v2', () => {
  it('names, explains and sorts every operation, and says how it fails', () => {
    expect(OPERATIONS.length).toBe(16);
    const ids = OPERATIONS.map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { path, method, operation } of OPERATIONS) {
      const name = `${method} ${path}`;
      expect(operation.operationId, name).toMatch(/^[a-z][A-Za-z]+$/);
      expect(operation.tags, name).toEqual(['KServe v2']);
      expect(operation.summary.length, name).toBeGreaterThan(10);
      expect(operation.description.length, name).toBeGreaterThan(10);
      for (const [status, response] of Object.entries<Document>(operation.responses)) {
        expect(response.headers, `${name} ${status}`).toHaveProperty('X-Request-Id');
        if (Number(status) < 400 || (status === '503' && /ready$/.test(path))) continue;
        const { schema, examples } = response.content['application/json'];
        expect(schema, name).toEqual({ $ref: '#/components/schemas/InferenceError' });
        for (const { value } of Object.values<Document>(examples)) check(schema, value);
        expect(Object.keys(examples).length, name).toBeGreaterThan(0);
      }
    }
  });

  it.each(OPERATIONS.filter(({ method }) => method === 'get'))(
    '$path answers as documented',
    async ({ path, operation }) => {
      const reply = await send(addressOf(path, operation));
      expect(reply.status).toBe(200);
      expect(reply.headers['content-type']).toBe('application/json');
      check(operation.responses['200'].content['application/json'].schema, reply.json);
    },
  );

  it.each(POSTS)('%s: the example %s runs, and is answered as documented', async (...row) => {
    const [operationId, , path, operation, value] = row;
    check(operation.requestBody.content['application/json'].schema, value);
    const reply = await post(addressOf(path, operation), value);
    const status = operationId === 'unloadModel' ? 400 : 200;
    expect([reply.status, reply.headers['content-type']], reply.text).toEqual([status, 'application/json']);
    check(operation.responses[status].content['application/json'].schema, reply.json);
  });

  it('has the numbers of its words', async () => {
    const run = async (name: string) => {
      const [, , path, operation, value] = POSTS.find(
        ([id, one]) => id === 'infer' && one === name,
      ) as (typeof POSTS)[0];
      return (await post(addressOf(path, operation), value)).json;
    };
    const { id, outputs } = await run('one_query');
    expect(id).toBe('42');
    expect(outputs.map(({ name }: Document) => name)).toEqual(['output', 'weights']);
    expect(outputs[1].data[0]).toBeCloseTo(1 / (1 + Math.exp(3)), 6);
    expect((await run('masked')).outputs[0].data).toEqual([4]);
    expect((await run('structured_options')).outputs.map(({ name }: Document) => name)).toEqual([
      'output',
      'weights.indices',
      'weights.values',
      'log_sum_exp',
    ]);
  });

  it('describes bytes where the bodies are bytes', () => {
    const { post: infer } = COMMITTED.paths['/v2/models/{model}/infer'];
    for (const { content } of [infer.requestBody, infer.responses['200']]) {
      expect(content['application/octet-stream'].schema).toMatchObject({ format: 'binary' });
      expect(content['application/octet-stream'].schema.description).toContain(
        'Inference-Header-Content-Length',
      );
    }
  });
});
