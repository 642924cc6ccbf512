import { readFileSync } from 'node:fs';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { PROBLEM_CODES, Problem, type ProblemCode } from '../../domain/problem.ts';
import { scaledDotProductAttentionExamples } from '../openapi/examples/scaled-dot-product-attention.ts';
import { listOperations } from '../openapi/operations.ts';
import { renderLanding, type WorkedCall, type WorkedResponse } from '../pages/landing.ts';
import { renderProblem, renderProblemIndex } from '../pages/problems.ts';
import { PAGE_POLICY } from '../plugins/security-headers.ts';

const ASSETS: Readonly<Record<string, string>> = {
  'site.css': 'text/css; charset=utf-8',
  'landing.js': 'text/javascript; charset=utf-8',
};

const hidden = { hide: true } as const;

export interface PageOptions {
  readonly version: string;
}

/** Pages for people: the front page, the explanations of problems, and what they are made with. */
export async function pageRoutes(app: FastifyInstance, { version }: PageOptions): Promise<void> {
  const worked = once(() => workExample(app));

  app.get('/', { schema: hidden }, async (request, reply) => {
    const origin = `${request.protocol}://${request.host}`;
    const landing = { version, origin, call: await worked(), operations: listOperations(app.swagger()) };
    return sendPage(reply, renderLanding(landing));
  });

  app.get('/problems', { schema: hidden }, async (_request, reply) => sendPage(reply, renderProblemIndex()));

  app.get<{ Params: { code: string } }>('/problems/:code', { schema: hidden }, async (request, reply) => {
    const { code } = request.params;
    if (!isProblemCode(code))
      throw new Problem('not_found', `There is no problem with this code; /problems lists all.`);
    return sendPage(reply, renderProblem(code));
  });

  for (const [name, type] of Object.entries(ASSETS)) {
    const content = readFileSync(new URL(`../pages/assets/${name}`, import.meta.url));
    app.get(`/assets/${name}`, { schema: hidden }, async (_request, reply) =>
      reply.type(type).header('cache-control', 'no-cache').send(content),
    );
  }
}

/** Makes the call of the front page by way of the route itself, so that the page shows what a caller would get. */
async function workExample(app: FastifyInstance): Promise<WorkedCall> {
  const path = '/v1/scaled-dot-product-attention';
  const request = scaledDotProductAttentionExamples.one_query.value;
  const answer = await app.inject({
    method: 'POST',
    url: path,
    headers: { 'content-type': 'application/json' },
    payload: JSON.stringify(request),
  });
  if (answer.statusCode !== 200)
    throw new Problem('over_capacity', 'The worked call of this page found no place.', [], 1);
  return { path, request, response: answer.json<WorkedResponse>() };
}

function sendPage(reply: FastifyReply, page: string): FastifyReply {
  return reply
    .type('text/html; charset=utf-8')
    .header('content-security-policy', PAGE_POLICY)
    .header('cache-control', 'no-cache')
    .send(page);
}

/** Runs until it has succeeded once, then gives that result. */
function once<Result>(run: () => Promise<Result>): () => Promise<Result> {
  let done: Promise<Result> | undefined;
  return () => {
    done ??= run().catch((error) => {
      done = undefined;
      throw error;
    });
    return done;
  };
}

function isProblemCode(code: string): code is ProblemCode {
  return (PROBLEM_CODES as string[]).includes(code);
}
