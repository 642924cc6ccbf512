import type { ProblemBody } from '../contract/schemas/problem.ts';
import type { Problem, ProblemCode } from '../domain/problem.ts';

export const PROBLEM_MEDIA_TYPE = 'application/problem+json';

/** Where a kind of problem is explained; this is its RFC 9457 `type`. */
export function problemType(code: ProblemCode): string {
  return `/problems/${code}`;
}

/** The body of a problem response. */
export function problemBody(problem: Problem, instance: string, requestId: string): ProblemBody {
  return {
    type: problemType(problem.code),
    title: problem.title,
    status: problem.status,
    detail: problem.message,
    instance,
    code: problem.code,
    request_id: requestId,
    errors: problem.errors.map(({ pointer, detail }) => ({ pointer, detail })),
  };
}
