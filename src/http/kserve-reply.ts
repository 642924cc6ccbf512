import type { FastifyReply } from 'fastify';
import type { Problem } from '../domain/problem.ts';

/** Clients of the protocol look for exactly this; what is no Buffer would get a charset from Fastify. */
export const INFERENCE_JSON = 'application/json';

/** Whether an address belongs to the Open Inference Protocol, whose errors have a form of their own. */
export function isInferencePath(path: string): boolean {
  return path === '/v2' || path.startsWith('/v2/');
}

/** A problem as the protocol says it. */
export function inferenceError(problem: Problem): { error: string } {
  return { error: problem.message };
}

export function sendInferenceJson(reply: FastifyReply, value: object): FastifyReply {
  return reply.type(INFERENCE_JSON).send(Buffer.from(JSON.stringify(value)));
}
