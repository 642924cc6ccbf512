import { type Static, Type } from '@sinclair/typebox';
import { PRECISIONS } from '../../domain/tensor.ts';

const bytes = (description: string) => Type.Integer({ minimum: 0, description });

const LimitsSchema = Type.Object(
  {
    body_bytes: bytes('Largest request body.'),
    envelope_bytes: bytes('Largest part of a body that is not tensor data.'),
    json_depth: Type.Integer({ description: 'Deepest nesting of a JSON body.' }),
    map_bytes: bytes('Attention maps and logits in one response.'),
    request_bytes: bytes('All that one request allocates besides its body.'),
    request_flops: Type.Number({ description: 'Arithmetic of one request, in floating-point operations.' }),
    queue_requests: Type.Integer({ description: 'Requests admitted at a time, running ones included.' }),
    queue_bytes: bytes('Bytes of all admitted requests together.'),
    batch_calls: Type.Integer({
      description: 'Calls of one layer, waiting for a worker, that it computes at one go.',
    }),
    layer_bytes: bytes('Weights of registered layers that are kept in memory.'),
    session_bytes: bytes('Keys and values of sessions.'),
    session_tokens: Type.Integer({ description: 'Tokens of one session.' }),
    session_idle_ms: Type.Integer({
      description: 'How long a session is kept to which nothing is appended.',
    }),
    deadline_ms: Type.Integer({ description: 'Longest deadline, and that of a request that names none.' }),
  },
  { description: 'What one request, and all requests together, may use.' },
);

const EngineSchema = Type.Object(
  {
    threads_up: Type.Integer({ description: 'Worker threads that are up.' }),
    requests: Type.Integer({ description: 'Requests admitted and not yet answered.' }),
    bytes: bytes('Bytes held by them.'),
    jobs: Type.Integer({ description: 'Steps of requests that are waiting or running.' }),
    queued_jobs: Type.Integer({ description: 'Those that no worker has taken yet.' }),
    running_slices: Type.Integer({ description: 'Pieces of work in the hands of workers.' }),
    tiles_computed: Type.Integer({ description: 'Tiles computed since the start.' }),
    calls_batched: Type.Integer({
      description: 'Calls of a layer, since the start, that a worker did at one go with others.',
    }),
    workers_lost: Type.Integer({ description: 'Workers that ended unexpectedly and were replaced.' }),
  },
  { description: 'What the engine is doing at the moment.' },
);

const LayersSchema = Type.Object(
  {
    open: Type.Integer({ description: 'Contents whose weights are in memory.' }),
    packed: Type.Integer({ description: 'Those of them whose weights are packed for the kernel.' }),
    bytes: bytes('Bytes of all of that; `limits.layer_bytes` bounds them.'),
    packed_bytes: bytes('Bytes of the packed weights among them.'),
  },
  { description: 'Registered layers in memory: those that were called, as far as there is room.' },
);

const SessionsSchema = Type.Object(
  {
    open: Type.Integer({ description: 'Sessions that there are.' }),
    bytes: bytes('Bytes that they count for; `limits.session_bytes` bounds them.'),
  },
  { description: 'Sessions in memory.' },
);

/** What this instance is and may do. */
export const InfoSchema = Type.Object(
  {
    name: Type.String(),
    version: Type.String(),
    node: Type.String({ description: 'Version of the runtime.' }),
    kernel: Type.String({ description: 'The preferred kernel of float32 calls.' }),
    threads: Type.Integer({ description: 'Worker threads.' }),
    kernels: Type.Array(
      Type.Object({
        name: Type.String({ description: 'As `applied.kernel` names it.' }),
        precision: Type.Union(PRECISIONS.map((precision) => Type.Literal(precision))),
      }),
      { description: 'The preferred ones first: the first one that suits a call computes it.' },
    ),
    formats: Type.Object({
      request: Type.Array(Type.String(), { description: 'Media types of request bodies.' }),
      response: Type.Array(Type.String(), { description: 'Media types of response bodies.' }),
    }),
    limits: LimitsSchema,
    engine: EngineSchema,
    layers: LayersSchema,
    sessions: SessionsSchema,
  },
  {
    $id: 'Info',
    title: 'Info',
    description: 'What this instance is, what it may use, and what it is doing.',
  },
);
export type Info = Static<typeof InfoSchema>;

export const LivenessSchema = Type.Object(
  { status: Type.Literal('live') },
  { $id: 'Liveness', title: 'Liveness', description: 'The process answers.' },
);

export const READINESS = ['ready', 'starting', 'stopping'] as const;

export const ReadinessSchema = Type.Object(
  {
    status: Type.Union(
      READINESS.map((status) => Type.Literal(status)),
      { description: '`starting` also while workers are being replaced and none is up.' },
    ),
  },
  { $id: 'Readiness', title: 'Readiness', description: 'Whether requests should be sent here.' },
);
export type Readiness = Static<typeof ReadinessSchema>;
