import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { Problem, type ProblemCode } from '../../domain/problem.ts';
import { cut } from '../../domain/quoted.ts';
import { INFERENCE_JSON, inferenceError, isInferencePath } from '../kserve-reply.ts';
import { PROBLEM_MEDIA_TYPE, problemBody } from '../problem-details.ts';
import { pathOf } from './request-log.ts';
import { RouteTable } from './route-table.ts';

/** Expected under load and while stopping, and speaking of the service alone; nothing has failed. */
const TURNED_AWAY: ReadonlySet<ProblemCode> = new Set(['over_capacity', 'stopping', 'deadline_exceeded']);

/**
 * Answers every refusal and failure, of routes, of unknown addresses and of wrong methods: as an RFC 9457 problem, or
 * under /v2 as the Open Inference Protocol says it.
 */
export const problems = fp(async (app) => {
  const routes = new RouteTable();
  app.addHook('onRoute', ({ url, method }) => routes.add(url, method));

  app.setErrorHandler<FastifyError | Problem>((error, request, reply) => {
    if (request.raw.socket.destroyed) {
      request.log.info({ method: request.method, path: pathOf(request.url) }, 'client went away');
      return reply.hijack();
    }
    const problem = toProblem(error);
    logProblem(problem, error, request);
    return sendProblem(problem, request, reply);
  });

  app.setNotFoundHandler((request, reply) => {
    const path = pathOf(request.url);
    const methods = routes.methodsAt(path);
    if (methods.length === 0) {
      const detail = `There is nothing at ${cut(path)}; /docs and /openapi.json list every address.`;
      return sendProblem(new Problem('not_found', detail), request, reply);
    }
    reply.header('allow', methods.join(', '));
    if (request.method === 'OPTIONS') return reply.code(204).send();
    const detail = `${path} takes ${methods.join(', ')}; got ${request.method}.`;
    return sendProblem(new Problem('method_not_allowed', detail), request, reply);
  });
});

/** For Fastify's `frameworkErrors`: requests that reach no route, such as those with a broken address. */
export function refuseUnroutable(error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  reply.header('x-request-id', request.id);
  sendProblem(toProblem(error), request, reply);
}

/**
 * What an operator is to know. Only the code of what is wrong with a request: its detail and pointers quote the body,
 * which is not for the log; the caller has them, under the same request_id.
 */
function logProblem(problem: Problem, error: Error, request: FastifyRequest): void {
  const { code, message: detail } = problem;
  if (problem.status < 500) request.log.info({ code }, 'request refused');
  else if (TURNED_AWAY.has(code)) request.log.warn({ code, detail }, 'request turned away');
  else request.log.error({ err: error, code }, 'request failed');
}

function sendProblem(problem: Problem, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (problem.retryAfterSeconds !== undefined) {
    reply.header('retry-after', Math.max(1, Math.ceil(problem.retryAfterSeconds)));
  }
  const path = pathOf(request.url);
  const isInference = isInferencePath(path);
  const body = isInference ? inferenceError(problem) : problemBody(problem, path, request.id);
  return reply
    .code(problem.status)
    .type(isInference ? INFERENCE_JSON : PROBLEM_MEDIA_TYPE)
    .send(Buffer.from(JSON.stringify(body)));
}

function toProblem(error: FastifyError | Problem): Problem {
  if (error instanceof Problem) return error;
  if (isOutOfMemory(error)) {
    return new Problem(
      'over_capacity',
      'The machine has no memory left for this request at the moment.',
      [],
      1,
    );
  }
  const status = error.statusCode ?? 500;
  if (status === 413) return new Problem('body_too_large', 'The body is larger than this service takes.');
  if (status === 415) return new Problem('unsupported_media_type', 'The Content-Type cannot be read here.');
  if (status >= 400 && status < 500) return new Problem('malformed_request', error.message);
  return new Problem(
    'internal_error',
    'The service met an error of its own, which is logged under the request_id of this problem.',
  );
}

/** Whether the machine refused memory, here or in a worker; V8 says it by these words. */
function isOutOfMemory(error: Error): boolean {
  return error instanceof RangeError && error.message === 'Array buffer allocation failed';
}
