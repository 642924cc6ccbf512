import type { FastifyRequest } from 'fastify';
import { Problem } from '../domain/problem.ts';
import { quoted } from '../domain/quoted.ts';
import { MODEL_VERSION, type Model } from '../service/models.ts';

interface ModelParams {
  readonly model: string;
  readonly version?: string;
}

/**
 * The model that an address names, as `find` finds it.
 * @throws {Problem} not_found; invalid_request for a version that is no number; store_unavailable.
 */
export async function modelOf(
  request: FastifyRequest,
  find: (name: string) => Promise<Model>,
): Promise<Model> {
  const { model: name, version } = request.params as ModelParams;
  const found = await find(name);
  if (version === undefined || version === MODEL_VERSION) return found;
  const shown = quoted(version);
  if (!/^\d+$/.test(version)) {
    throw new Problem('invalid_request', `Expected a version that is an integer; got ${shown}.`);
  }
  throw new Problem('not_found', `The model "${name}" has version ${MODEL_VERSION}; got ${shown}.`);
}
