import { type Static, type TSchema, Type } from '@sinclair/typebox';

/*
 * The Open Inference Protocol, version 2, as KServe and Triton speak it over REST, with the extensions
 * binary_tensor_data, model_repository, parameters and statistics.
 */

const closed = { additionalProperties: false } as const;

/** Version 2 of the protocol knows only whole numbers here; there is one version of each model. */
const version = Type.String({ pattern: '^[0-9]+$', examples: ['1'] });

const ParametersSchema = Type.Record(
  Type.String(),
  Type.Union([Type.String(), Type.Number(), Type.Boolean(), Type.Object({})]),
  {
    $id: 'InferenceParameters',
    title: 'InferenceParameters',
    description:
      'Options of the operation by their names, those that are objects as JSON strings: `{"heads": 2, "causal": ' +
      '"lower_right", "return": "{\\"weights\\": true}"}`. A dotted name leads into an object, `rope.theta`. Beside them ' +
      '`binary_data_output`: whether outputs are sent as bytes; `timeout`: microseconds after which the result is of no ' +
      'use. On registered layers `sequence_id` (an integer to 2^64 - 1, or a string; 0 and "" are none) names a sequence ' +
      'of requests, each of which appends `embeddings`, [n, D], to a session: the first one with `sequence_start`, ' +
      'which replaces a sequence of that id, the last one with `sequence_end`; `expected_position` is an option of ' +
      'them. `priority`, `headers` and names that begin with `triton_` are passed over.',
    examples: [{ heads: 2, causal: 'upper_left' }],
  },
);

const Parameters = Type.Optional(Type.Unsafe<Record<string, unknown>>(Type.Ref('InferenceParameters')));

const shape = Type.Array(Type.Integer({ minimum: 0 }), { examples: [[1, 2]] });

const InputSchema = Type.Object(
  {
    name: Type.String({
      description:
        'JSON path of the field, `query` or `projections.w_q`, or its last name where no other has it.',
      examples: ['query'],
    }),
    shape,
    datatype: Type.String({
      description: 'BOOL, INT8 to INT64, UINT8 to UINT64, FP16 and BF16 (as bytes only), FP32 or FP64.',
      examples: ['FP32'],
    }),
    parameters: Type.Optional(
      Type.Object(
        {
          binary_data_size: Type.Optional(
            Type.Integer({
              minimum: 0,
              description: 'Bytes of this tensor behind the JSON; then without `data`.',
            }),
          ),
        },
        closed,
      ),
    ),
    data: Type.Optional(
      Type.Unsafe<unknown>({
        type: 'array',
        items: {},
        description: 'The elements, flat or nested, row-major.',
        examples: [[1, 2]],
      }),
    ),
  },
  { ...closed, $id: 'InferenceInput', title: 'InferenceInput', description: 'One tensor.' },
);

const RequestedOutputSchema = Type.Object(
  {
    name: Type.String({ examples: ['output'] }),
    parameters: Type.Optional(
      Type.Object(
        {
          binary_data: Type.Optional(
            Type.Boolean({ description: 'Whether as bytes; else what `binary_data_output` says.' }),
          ),
        },
        closed,
      ),
    ),
  },
  {
    ...closed,
    $id: 'RequestedOutput',
    title: 'RequestedOutput',
    description: 'One tensor that is asked for.',
  },
);

export const InferenceRequestSchema = Type.Object(
  {
    id: Type.Optional(Type.String({ description: 'Comes back with the response.', examples: ['42'] })),
    model_name: Type.Optional(Type.String({ description: 'Passed over: the address names the model.' })),
    model_version: Type.Optional(Type.String({ description: 'Passed over, as the name is.' })),
    parameters: Parameters,
    inputs: Type.Array(Type.Unsafe<Static<typeof InputSchema>>(Type.Ref('InferenceInput')), { minItems: 1 }),
    outputs: Type.Optional(
      Type.Array(Type.Unsafe<Static<typeof RequestedOutputSchema>>(Type.Ref('RequestedOutput')), {
        description:
          'Which outputs to send; all that were computed where not given. Asking for `weights`, `log_sum_exp`, ' +
          '`present_key` or `present_value` also has them computed; the others need the parameter `return`.',
      }),
    ),
  },
  {
    ...closed,
    $id: 'InferenceRequest',
    title: 'InferenceRequest',
    description: 'A call, its tensors as JSON or as bytes behind it, in the order of `inputs`.',
  },
);
export type InferenceRequestBody = Static<typeof InferenceRequestSchema>;

const InferenceResponseSchema = Type.Object(
  {
    model_name: Type.String(),
    model_version: Type.Optional(version),
    id: Type.Optional(Type.String()),
    parameters: Type.Object(
      {
        empty_rows: Type.Integer({ description: 'How many rows of the map may see no key.' }),
        applied: Type.String({ description: 'What was computed, as JSON.' }),
        position: Type.Optional(Type.Integer({ description: 'Of a sequence: how many tokens it has.' })),
        first_key_position: Type.Optional(
          Type.Integer({ description: 'Of a sequence: the token that the first key of maps belongs to.' }),
        ),
      },
      { description: 'What belongs to no tensor.' },
    ),
    outputs: Type.Array(
      Type.Object({
        name: Type.String({ examples: ['output'] }),
        datatype: Type.String({ description: 'FP32, FP64 or INT32.', examples: ['FP32'] }),
        shape,
        parameters: Type.Optional(Type.Object({ binary_data_size: Type.Integer() })),
        data: Type.Optional(
          Type.Array(Type.Union([Type.Number(), Type.Null()]), {
            description: 'Flat and row-major; null stands for -Infinity.',
          }),
        ),
      }),
    ),
  },
  { $id: 'InferenceResponse', title: 'InferenceResponse', description: 'The outputs of a call.' },
);

const InferenceErrorSchema = Type.Object(
  { error: Type.String({ description: 'What was expected and what came.' }) },
  { $id: 'InferenceError', title: 'InferenceError', description: 'Every error under /v2.' },
);

const ServerMetadataSchema = Type.Object(
  { name: Type.String(), version: Type.String(), extensions: Type.Array(Type.String()) },
  { $id: 'ServerMetadata', title: 'ServerMetadata', description: 'This server and the extensions it has.' },
);

const ServerLiveSchema = Type.Object(
  { live: Type.Boolean() },
  { $id: 'ServerLive', title: 'ServerLive', description: 'The process answers.' },
);

const ServerReadySchema = Type.Object(
  { ready: Type.Boolean(), live: Type.Boolean() },
  { $id: 'ServerReady', title: 'ServerReady', description: 'Whether requests should be sent here.' },
);

const ModelListSchema = Type.Object(
  { models: Type.Array(Type.String()) },
  { $id: 'ModelList', title: 'ModelList', description: 'The names of all models.' },
);

const MetadataTensor = Type.Object({
  name: Type.String(),
  datatype: Type.String(),
  shape: Type.Array(Type.Integer(), { description: '-1 stands for any size.' }),
});

const ModelMetadataSchema = Type.Object(
  {
    name: Type.String(),
    versions: Type.Array(version),
    platform: Type.String(),
    inputs: Type.Array(MetadataTensor),
    outputs: Type.Array(MetadataTensor),
  },
  {
    $id: 'ModelMetadata',
    title: 'ModelMetadata',
    description:
      'Every input that a model takes, and every output that it can give. Shapes are those of batches.',
  },
);
export type ModelMetadata = Static<typeof ModelMetadataSchema>;

const ModelReadySchema = Type.Object(
  { name: Type.String(), ready: Type.Boolean() },
  { $id: 'ModelReady', title: 'ModelReady', description: 'Whether a model takes requests.' },
);

const RepositoryIndexSchema = Type.Array(
  Type.Object({ name: Type.String(), version, state: Type.String(), reason: Type.String() }),
  { $id: 'RepositoryIndex', title: 'RepositoryIndex', description: 'All models and their states.' },
);

export const RepositoryIndexRequestSchema = Type.Object(
  { ready: Type.Optional(Type.Boolean({ default: false, description: 'List only models that are ready.' })) },
  {
    ...closed,
    $id: 'RepositoryIndexRequest',
    title: 'RepositoryIndexRequest',
    description: 'May be left out.',
  },
);

export const RepositoryModelRequestSchema = Type.Object(
  { parameters: Type.Optional(Type.Record(Type.String(), Type.Unknown())) },
  {
    ...closed,
    $id: 'RepositoryModelRequest',
    title: 'RepositoryModelRequest',
    description: 'May be left out.',
  },
);

const RepositoryModelSchema = Type.Object(
  { name: Type.String(), load: Type.Boolean() },
  {
    $id: 'RepositoryModel',
    title: 'RepositoryModel',
    description: 'A model, and whether its weights are in memory.',
  },
);

const duration = (description: string) =>
  Type.Object(
    { count: Type.Integer({ minimum: 0 }), ns: Type.Integer({ minimum: 0, description: 'Nanoseconds.' }) },
    { description },
  );

const ModelStatisticsSchema = Type.Object(
  {
    model_stats: Type.Array(
      Type.Object({
        name: Type.String(),
        version,
        last_inference: Type.Integer({ description: 'Milliseconds since the epoch; 0 before the first.' }),
        inference_count: Type.Integer({ description: 'Samples of all successful requests.' }),
        execution_count: Type.Integer({ description: 'Successful requests, batched with others or not.' }),
        inference_stats: Type.Object({
          success: duration('Requests that were answered, from their admission on.'),
          fail: duration('Requests that were not.'),
          queue: duration('Waiting for workers.'),
          compute_input: duration('Decoding.'),
          compute_infer: duration('Computing.'),
          compute_output: duration('Encoding.'),
        }),
        batch_stats: Type.Array(
          Type.Object({
            batch_size: Type.Integer({ minimum: 1 }),
            compute_input: duration('Decoding.'),
            compute_infer: duration('Computing.'),
            compute_output: duration('Encoding.'),
          }),
        ),
      }),
    ),
  },
  {
    $id: 'ModelStatistics',
    title: 'ModelStatistics',
    description: 'What this instance has computed under /v2 since it started.',
  },
);
export type ModelStatistics = Static<typeof ModelStatisticsSchema>['model_stats'][number];

/** Every schema of the protocol that others refer to by its $id. */
export const INFERENCE_SCHEMAS: readonly TSchema[] = [
  ParametersSchema,
  InputSchema,
  RequestedOutputSchema,
  InferenceRequestSchema,
  InferenceResponseSchema,
  InferenceErrorSchema,
  ServerMetadataSchema,
  ServerLiveSchema,
  ServerReadySchema,
  ModelListSchema,
  ModelMetadataSchema,
  ModelReadySchema,
  RepositoryIndexSchema,
  RepositoryIndexRequestSchema,
  RepositoryModelRequestSchema,
  RepositoryModelSchema,
  ModelStatisticsSchema,
];
