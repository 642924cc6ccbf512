import { type TSchema, Type } from '@sinclair/typebox';
import { Problem, type ProblemCode } from '../../domain/problem.ts';
import { PROBLEM_MEDIA_TYPE, problemBody } from '../problem-details.ts';
import { PROBLEM_EXPLANATIONS } from './problem-catalogue.ts';

const REQUEST_ID_EXAMPLE = '5f0c7c1e-8a55-4f0b-9d5e-0e6a3a2f9b11';

const requestIdHeader = {
  'X-Request-Id': Type.String({
    description: 'The X-Request-Id of the request where valid, else a new one.',
  }),
};

/** Headers of every response of a compute route. */
export const computeHeaders = {
  ...requestIdHeader,
  'Server-Timing': Type.String({
    description: 'Durations in milliseconds of decode, queue, compute and encode (W3C Server Timing).',
  }),
};

const retryAfterHeader = {
  'Retry-After': Type.Integer({ minimum: 1, description: 'Seconds after which to try again.' }),
};

const allowHeader = { Allow: Type.String({ description: 'The methods that this address takes.' }) };

/** A response of a schema, for the `response` part of a route schema. */
export function response(
  description: string,
  mediaTypes: readonly string[],
  schema: TSchema,
  headers: object = {},
) {
  return {
    description,
    headers: { ...requestIdHeader, ...headers },
    content: Object.fromEntries(mediaTypes.map((type) => [type, { schema }])),
  };
}

/** A response without a body. */
export function emptyResponse(description: string, headers: object = {}) {
  return { description, type: 'null', headers: { ...requestIdHeader, ...headers } };
}

/** How a request to any address may be refused or fail, whatever its route. */
const ANYWHERE: readonly ProblemCode[] = [
  'malformed_request',
  'request_timeout',
  'expectation_failed',
  'headers_too_large',
  'internal_error',
];

/** Problem responses by status, with an example of each code: those of `codes`, and those of any address. */
export function problemResponses(codes: readonly ProblemCode[], path: string): Record<number, object> {
  const byStatus = Map.groupBy([...ANYWHERE, ...codes], (code) => new Problem(code, '').status);
  return Object.fromEntries(
    [...byStatus].map(([status, group]) => [
      status,
      {
        description: `${group.map((code) => `\`${code}\`: ${new Problem(code, '').title}`).join('. ')}.`,
        headers: { ...requestIdHeader, ...headersOf(status) },
        content: { [PROBLEM_MEDIA_TYPE]: { schema: Type.Ref('Problem'), examples: examplesOf(group, path) } },
      },
    ]),
  );
}

function headersOf(status: number): object {
  if (status === 503) return retryAfterHeader;
  return status === 405 ? allowHeader : {};
}

function examplesOf(codes: readonly ProblemCode[], path: string): object {
  return Object.fromEntries(
    codes.map((code) => {
      const { meaning, detail, errors } = PROBLEM_EXPLANATIONS[code];
      const value = problemBody(new Problem(code, detail, errors), path, REQUEST_ID_EXAMPLE);
      return [code, { summary: meaning, value }];
    }),
  );
}
