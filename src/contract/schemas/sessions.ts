import { type Static, type TSchema, Type } from '@sinclair/typebox';
import { PRECISIONS } from '../../domain/tensor.ts';
import { AttentionResponseSchema } from './answer.ts';
import { attentionOptions, ReturnSchema } from './options.ts';
import { Real } from './tensor.ts';

const closed = { additionalProperties: false } as const;

const layer = Type.String({
  minLength: 1,
  maxLength: 64,
  description: 'Name of a registered layer.',
  examples: ['encoder.layer.0'],
});

const position = Type.Integer({ minimum: 0, description: 'Tokens that the session has.' });

export const SessionRequestSchema = Type.Object(
  {
    layer,
    max_length: Type.Optional(
      Type.Integer({
        minimum: 1,
        description: 'Tokens that the session may come to; the limit where not given.',
      }),
    ),
  },
  {
    ...closed,
    $id: 'SessionRequest',
    title: 'SessionRequest',
    description: 'A sequence of tokens that is to go through a layer piece by piece.',
  },
);
export type SessionBody = Static<typeof SessionRequestSchema>;

export const SessionSchema = Type.Object(
  {
    session_id: Type.String({ description: 'Hard to guess; whoever knows it may use the session.' }),
    position,
    layer,
    etag: Type.String({ description: 'Content of the layer that the session began with, and is for.' }),
    precision: Type.Union(PRECISIONS.map((precision) => Type.Literal(precision))),
    max_length: Type.Integer({ description: 'Tokens that the session may come to.' }),
    bytes: Type.Integer({ description: 'Memory of its keys and values.' }),
    expires_at: Type.String({
      format: 'date-time',
      description: 'When it is lost if nothing is appended until then.',
    }),
  },
  {
    ...closed,
    $id: 'Session',
    title: 'Session',
    description: 'The keys and values of a sequence of tokens.',
  },
);
export type SessionDescription = Static<typeof SessionSchema>;

const AppendReturnSchema = Type.Omit(ReturnSchema, ['kv'], {
  ...closed,
  $id: 'AppendReturn',
  title: 'AppendReturn',
  description:
    'What to send besides the output, as for every call. The key axis is the visible past and the new tokens.',
});

export const AppendSchema = Type.Object(
  {
    embeddings: Real('[n, D]: the next tokens, one or more.'),
    expected_position: Type.Optional(
      Type.Integer({
        minimum: 0,
        description:
          'Tokens that the session must have for this append to be the next one. An append that gives it may be ' +
          'sent again: where it was applied, as the last one and with the same embeddings, it is answered again and ' +
          'not applied twice.',
      }),
    ),
    return: Type.Optional(Type.Unsafe<Static<typeof AppendReturnSchema>>(Type.Ref('AppendReturn'))),
    response: attentionOptions.response,
  },
  { ...closed, $id: 'AppendRequest', title: 'AppendRequest', description: 'The next tokens of a session.' },
);
export type AppendBody = Static<typeof AppendSchema>;

const { present_key: _key, present_value: _value, ...result } = AttentionResponseSchema.properties;

const AppendResponseSchema = Type.Object(
  {
    ...result,
    position,
    first_key_position: Type.Integer({
      minimum: 0,
      description:
        'Token that the first key of maps and logits belongs to: 0 unless the window of the layer hides earlier ones.',
    }),
  },
  {
    ...closed,
    $id: 'AppendResponse',
    title: 'AppendResponse',
    description: 'The outputs of the new tokens, each of which has seen itself and those before it.',
  },
);
export type AppendResponse = Static<typeof AppendResponseSchema>;

/** Every schema of sessions that others refer to by its $id. */
export const SESSION_SCHEMAS: readonly TSchema[] = [
  SessionRequestSchema,
  SessionSchema,
  AppendReturnSchema,
  AppendSchema,
  AppendResponseSchema,
];
