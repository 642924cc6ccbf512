import { type Static, Type } from '@sinclair/typebox';
import { PROBLEM_CODES } from '../../domain/problem.ts';

/** A refused or failed request, by RFC 9457. */
export const ProblemSchema = Type.Object(
  {
    type: Type.String({
      format: 'uri-reference',
      description: 'Address of a page that explains this kind of problem.',
    }),
    title: Type.String({
      description: 'The kind of problem in words; the same for every problem of this kind.',
    }),
    status: Type.Integer({ description: 'The HTTP status of the response.' }),
    detail: Type.String({ description: 'What went wrong with this very request.' }),
    instance: Type.String({ format: 'uri-reference', description: 'The address that was asked.' }),
    code: Type.Unsafe<(typeof PROBLEM_CODES)[number]>({
      type: 'string',
      enum: [...PROBLEM_CODES],
      description: 'The kind of problem, for programs.',
    }),
    request_id: Type.String({ description: 'As in the X-Request-Id header; quote it when asking for help.' }),
    errors: Type.Array(
      Type.Object({
        pointer: Type.String({
          description: 'The place in the request, a JSON Pointer (RFC 6901); empty for the whole body.',
        }),
        detail: Type.String({ description: 'What was expected there and what came.' }),
      }),
    ),
  },
  {
    $id: 'Problem',
    title: 'Problem',
    description: 'Why a request was refused or failed (RFC 9457).',
  },
);
export type ProblemBody = Static<typeof ProblemSchema>;
