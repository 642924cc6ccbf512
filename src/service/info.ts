import type { Info } from '../contract/schemas/info.ts';
import type { Limits } from '../domain/limits.ts';
import type { Engine } from '../engine/engine.ts';
import type { Layers } from './layers.ts';
import type { Sessions } from './sessions/sessions.ts';

export interface Identity {
  readonly name: string;
  readonly version: string;
}

/** Describes this instance. Media types come from the caller, who speaks them. */
export function describeInstance(
  { name, version }: Identity,
  engine: Engine,
  layers: Layers,
  sessions: Sessions,
  limits: Limits,
  formats: Info['formats'],
): Info {
  const stats = engine.stats();
  const weights = layers.stats();
  return {
    name,
    version,
    node: process.versions.node,
    kernel: engine.kernels.find(({ precision }) => precision === 'float32')!.name,
    threads: stats.threads,
    kernels: engine.kernels.map(({ name, precision }) => ({ name, precision })),
    formats,
    limits: {
      body_bytes: limits.bodyBytes,
      envelope_bytes: limits.envelopeBytes,
      json_depth: limits.jsonDepth,
      map_bytes: limits.mapBytes,
      request_bytes: limits.requestBytes,
      request_flops: limits.requestFlops,
      queue_requests: limits.queueRequests,
      queue_bytes: limits.queueBytes,
      batch_calls: limits.batchCalls,
      layer_bytes: limits.layerBytes,
      session_bytes: limits.sessionBytes,
      session_tokens: limits.sessionTokens,
      session_idle_ms: limits.sessionIdleMs,
      deadline_ms: limits.deadlineMs,
    },
    engine: {
      threads_up: stats.threadsUp,
      requests: stats.requests,
      bytes: stats.bytes,
      jobs: stats.jobs,
      queued_jobs: stats.queuedJobs,
      running_slices: stats.runningSlices,
      tiles_computed: stats.tilesComputed,
      calls_batched: stats.callsBatched,
      workers_lost: stats.workersLost,
    },
    layers: {
      open: weights.open,
      packed: weights.packed,
      bytes: weights.bytes,
      packed_bytes: weights.packedBytes,
    },
    sessions: sessions.stats(),
  };
}
