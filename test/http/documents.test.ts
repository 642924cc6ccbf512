import { readFileSync } from 'node:fs';
import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { PROBLEM_CODES } from '../../src/domain/problem.ts';
import { listen, post, send, type TestService } from './support.ts';

// biome-ignore lint/suspicious/noExplicitAny: a document is read here as its users read it.
type Document = any;

const COMMITTED: Document = JSON.parse(readFileSync('openapi/openapi.json', 'utf8'));

interface Operation {
  readonly path: string;
  readonly method: string;
  readonly operation: Document;
}

/** All but those of the Open Inference Protocol, which kserve-documents.test.ts holds to the protocol's ways. */
const OPERATIONS: Operation[] = Object.entries<Document>(COMMITTED.paths)
  .filter(([path]) => !/^\/v2(\/|$)/.test(path))
  .flatMap(([path, item]) =>
    Object.entries<Document>(item).map(([method, operation]) => ({ path, method, operation })),
  );

const EXAMPLES = OPERATIONS.flatMap(({ path, operation }) =>
  Object.entries<Document>(operation.requestBody?.content['application/json'].examples ?? {}).map(
    ([name, { value }]) => [operation.operationId as string, name, path, value] as const,
  ),
);

/** A layer that there is, for addresses that name one. */
const LAYER = 'encoder.layer.0';
/** A session that there is. */
let session = '';
const addressOf = (path: string) =>
  service.url + path.replace('{layer}', LAYER).replace('{session_id}', session);

/** Sends a JSON body to an address of the document, by its method there. */
const submit = ({ method, path }: Operation, value: object) =>
  send(addressOf(path), {
    method: method.toUpperCase() as 'POST' | 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(value),
  });

const operationNamed = (operationId: string) =>
  OPERATIONS.find(({ operation }) => operation.operationId === operationId) as Operation;

let service: TestService;
beforeAll(async () => {
  service = await listen();
  const [, , , value] = EXAMPLES.find(([id]) => id === 'putLayer') as (typeof EXAMPLES)[0];
  expect((await submit(operationNamed('putLayer'), value)).status).toBe(201);
  // On a layer of its own: the examples change the other one, with which its sessions are lost.
  const other = { method: 'PUT', headers: { 'content-type': 'application/json' } } as const;
  await send(`${service.url}/v1/layers/other`, { ...other, body: JSON.stringify(value) });
  session = (await post(`${service.url}/v1/sessions`, { layer: 'other' })).json.session_id;
});
afterAll(() => service.close());

describe('the OpenAPI document', () => {
  it('that is committed is what the routes say, in both forms', async () => {
    const { text } = await send(`${service.url}/openapi.json`);
    expect(text, 'run `npm run openapi`').toBe(readFileSync('openapi/openapi.json', 'utf8'));
    const yaml = await send(`${service.url}/openapi.yaml`);
    expect(yaml.text).toBe(readFileSync('openapi/openapi.yaml', 'utf8'));
    expect(parse(yaml.text)).toEqual(COMMITTED);
    expect(yaml.headers['content-type']).toMatch(/^application\/yaml/);
  });

  it('is valid OpenAPI 3.1', async () => {
    const validator = new Validator();
    expect(await validator.validate(structuredClone(COMMITTED))).toMatchObject({ valid: true });
    expect(validator.version).toBe('3.1');
  });

  it('names, explains and sorts every operation, and says how it fails', () => {
    const ids = OPERATIONS.map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { path, method, operation } of OPERATIONS) {
      const name = `${method} ${path}`;
      expect(operation.operationId, name).toMatch(/^[a-z][A-Za-z]+$/);
      expect(operation.tags, name).toHaveLength(1);
      expect(operation.summary.length, name).toBeGreaterThan(10);
      expect(operation.description.length, name).toBeGreaterThan(10);
      for (const [status, response] of Object.entries<Document>(operation.responses)) {
        expect(response.headers, `${name} ${status}`).toHaveProperty('X-Request-Id');
        if (Number(status) < 400 || path.startsWith('/health/ready')) continue;
        const problem = response.content['application/problem+json'];
        expect(problem.schema).toEqual({ $ref: '#/components/schemas/Problem' });
        expect(Object.keys(problem.examples).length).toBeGreaterThan(0);
      }
      if (method === 'post' || method === 'put') {
        expect(
          Object.keys(operation.requestBody.content['application/json'].examples).length,
        ).toBeGreaterThan(1);
        expect(operation.parameters.map((one: Document) => one.name)).toEqual(
          expect.arrayContaining(['X-Deadline-Ms', 'X-Request-Id']),
        );
      }
    }
  });

  it('refers only to what it has, by name', () => {
    const names = Object.keys(COMMITTED.components.schemas);
    expect(names).toEqual(expect.arrayContaining(['Tensor', 'Causal', 'Return', 'Projections', 'Problem']));
    const references = JSON.stringify(COMMITTED).matchAll(/"\$ref":"([^"]+)"/g);
    for (const [, reference] of references) {
      expect(names.map((name) => `#/components/schemas/${name}`)).toContain(reference);
    }
  });

  it('keeps the description of every field, also where its type has a name', () => {
    const { query } = COMMITTED.components.schemas.ScaledDotProductAttentionRequest.properties;
    expect(query).toEqual({
      $ref: '#/components/schemas/Tensor',
      description: expect.stringContaining('[B, H, L, d_k]'),
    });
    expect(COMMITTED.components.schemas.Projections.properties.w_q.description).toContain('[D, H·d_k]');
  });

  it('shows problems that are what it says a problem is', () => {
    const check = schemaChecker();
    for (const { operation } of OPERATIONS) {
      for (const response of Object.values<Document>(operation.responses)) {
        const examples = response.content?.['application/problem+json']?.examples ?? {};
        for (const { value } of Object.values<Document>(examples)) check('Problem', value);
      }
    }
  });

  it.each(EXAMPLES)(
    '%s: the example %s runs, and is answered as documented',
    async (operationId, _name, _path, value) => {
      const { operation, ...rest } = operationNamed(operationId);
      const check = schemaChecker();
      check(referenceOf(operation.requestBody.content), value);
      const reply = await submit({ operation, ...rest }, value);
      expect(reply.json).not.toHaveProperty('errors');
      const success = '200' in operation.responses ? '200' : '201';
      expect(reply.status).toBe(Number(success));
      check(referenceOf(operation.responses[success].content), reply.json);
      for (const header of Object.keys(operation.responses[success].headers)) {
        expect(reply.headers).toHaveProperty(header.toLowerCase());
      }
    },
  );

  it.each(OPERATIONS.filter(({ method }) => method === 'get'))(
    '$path answers as documented',
    async ({ path, operation }) => {
      const reply = await send(addressOf(path));
      expect(reply.status).toBe(200);
      const { content } = operation.responses['200'];
      expect(Object.keys(content)).toContain(String(reply.headers['content-type']).split(';')[0]);
      if (content['application/json'] !== undefined) schemaChecker()(referenceOf(content), reply.json);
    },
  );

  it.each(EXAMPLES.filter(([id]) => id === 'putLayer'))(
    '%s: after the example %s those of layers and sessions run as they stand',
    async (_operationId, _name, _path, layer) => {
      const fresh = await listen();
      let id = '';
      const run = async (operationId: string, value?: object) => {
        const { method, path, operation } = operationNamed(operationId);
        const [{ example = id }] = operation.parameters
          .filter((one: Document) => one.in === 'path')
          .concat({});
        const reply = await send(fresh.url + path.replace(/\{\w+\}/, example), {
          method: method.toUpperCase() as 'GET',
          headers: { 'content-type': 'application/json' },
          ...(value === undefined ? {} : { body: JSON.stringify(value) }),
        });
        expect(reply.status, `${operationId} ${reply.text}`).toBeLessThan(300);
        if (operationId === 'beginSession') id = reply.json.session_id;
      };
      await run('putLayer', layer);
      for (const operationId of ['layerAttention', 'beginSession', 'appendToSession']) {
        for (const [of, , , value] of EXAMPLES) if (of === operationId) await run(operationId, value);
      }
      for (const operationId of ['getLayer', 'getLayerProjections', 'getSession']) await run(operationId);
      for (const operationId of ['deleteSession', 'deleteLayer']) await run(operationId);
      await fresh.close();
    },
  );

  it.each(EXAMPLES)(
    '%s: the example %s with a field too many is refused',
    async (operationId, _name, _path, value) => {
      const reply = await submit(operationNamed(operationId), { ...value, nothing_of_the_kind: 1 });
      expect(reply).toMatchObject({ status: 400, json: { code: 'invalid_request' } });
      expect(reply.json.errors[0].pointer).toBe('/nothing_of_the_kind');
    },
  );

  it('has the numbers of its words', async () => {
    const run = async (operationId: string, name: string) => {
      const [, , path, value] = EXAMPLES.find(
        ([id, one]) => id === operationId && one === name,
      ) as (typeof EXAMPLES)[0];
      return (await post(service.url + path, value)).json;
    };
    const oneQuery = await run('scaledDotProductAttention', 'one_query');
    expect(oneQuery.logits).toEqual([[[1, 4]]]);
    expect(oneQuery.weights[0][0][0]).toBeCloseTo(1 / (1 + Math.exp(3)), 6);
    const average = await run('scaledDotProductAttention', 'weighted_average');
    expect(average.output).toEqual([[expect.closeTo(8.5, 5)]]);
    expect(average.weights).toEqual([[[expect.closeTo(0.25, 6), expect.closeTo(0.75, 6)]]]);
    const packed = await run('multiHeadAttention', 'packed_pytorch');
    expect(packed.weights[0][0]).toHaveLength(5);
  });
});

describe('pages', () => {
  it('open with a call that this very service has worked', async () => {
    const { status, text, headers } = await send(service.url);
    expect(status).toBe(200);
    expect(headers['content-type']).toBe('text/html; charset=utf-8');
    expect(text).toContain('q · k₁ = 1·1 + 2·0 = 1<');
    expect(text).toContain('q · k₂ = 1·0 + 2·2 = 4<');
    expect(text).toContain('0.047 · 4 + 0.953 · 10 = 9.715');
    const { kernels } = (await send(`${service.url}/v1/info`)).json;
    const [, kernel] = /&quot;kernel&quot;: &quot;([^&]+)&quot;/.exec(text)!;
    expect(kernels.map(({ name }: { name: string }) => name)).toContain(kernel);
    for (const { path, operation } of OPERATIONS) {
      expect(text).toContain(path);
      expect(text).toContain(operation.summary);
    }
  });

  it('hold nothing inline and nothing of others', async () => {
    const { text } = await send(service.url);
    expect(text).not.toMatch(/<style|style=|onclick|<script(?! type="module" src="\.\/assets)/);
    const addresses = [...text.matchAll(/(?:href|src)="([^"]*)"/g)].map(([, address]) => address);
    expect(addresses.filter((address) => !/^(\.\/|data:,)/.test(address))).toEqual([]);
    for (const address of addresses.filter((one) => one.startsWith('./'))) {
      expect((await send(new URL(address, service.url).href)).status, address).toBe(200);
    }
  });

  it('escape what the caller says its host is', async () => {
    const { text } = await send(service.url, { headers: { host: '"><script>alert(1)</script>' } });
    expect(text).not.toContain('<script>alert');
  });

  it.each(PROBLEM_CODES)('explain %s', async (code) => {
    const { status, text } = await send(`${service.url}/problems/${code}`);
    expect(status).toBe(200);
    expect(text).toContain(`<code>${code}</code>`);
    expect((await send(`${service.url}/problems`)).text).toContain(`./problems/${code}`);
  });

  it('know no other problems', async () => {
    expect((await send(`${service.url}/problems/nothing`)).status).toBe(404);
  });

  it('include Swagger UI, on the document of this service', async () => {
    const { status, text, headers } = await send(`${service.url}/docs`);
    expect([status, headers['content-type']]).toEqual([200, 'text/html; charset=utf-8']);
    const policy = String(headers['content-security-policy']);
    expect(policy).toContain("script-src 'self'");
    expect(policy).not.toMatch(/https:|unsafe|validator\.swagger|upgrade-insecure/);
    for (const [, address] of text.matchAll(/(?:href|src)="(\.\/docs[^"]*)"/g)) {
      expect((await send(new URL(address, service.url).href)).status, address).toBe(200);
    }
    expect((await send(`${service.url}/docs/json`)).json).toEqual(COMMITTED);
  });
});

function referenceOf(content: Document): string {
  return content['application/json'].schema.$ref.split('/').at(-1);
}

/** Checks values against the schemas of the document, as a client would. */
function schemaChecker(): (name: string, value: unknown) => void {
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  ajv.addSchema(COMMITTED, 'document');
  return (name, value) => {
    ajv.validate(`document#/components/schemas/${name}`, value);
    expect(ajv.errors).toBeNull();
  };
}
