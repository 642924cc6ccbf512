import type { Limits } from '../domain/limits.ts';
import { type Problem, problemAt } from '../domain/problem.ts';
import type { Mapping } from './mappings/mapping.ts';
import { mappingNamed } from './mappings/registry.ts';
import { readTrial } from './read-layer.ts';
import type { LayerUpload } from './schemas/layer-upload.ts';
import { type LayerBody, type LayerOptions, LayerSchema } from './schemas/layers.ts';
import { suggestForLayer } from './suggest-layout.ts';
import { bodyValidator } from './validation/body-validator.ts';

export const DEFAULT_MAPPING = 'attention';

let validate: ReturnType<typeof bodyValidator> | undefined;

/**
 * A layer out of a decoded body, its tensors in their places. `upload` is what the address said, null where the body says
 * everything itself. The number of heads is made explicit, and the layout where a mapping knows it.
 * @throws {Problem} invalid_request, invalid_option, shape_mismatch and whatever else keeps a call of it from being read.
 */
export function readLayer(body: object, upload: LayerUpload | null, limits: Limits): LayerBody {
  const whole = upload === null ? body : withUpload(body, upload);
  validate ??= bodyValidator(LayerSchema);
  const fault = validate(whole);
  if (fault !== null) throw fault;
  const layer = whole as LayerBody;
  const heads = layer.heads ?? 1;
  const explicit: LayerBody = {
    ...layer,
    heads,
    kv_heads: layer.kv_heads ?? heads,
    layout: layer.layout ?? 'in_out',
  };
  try {
    readTrial(explicit, limits);
  } catch (error) {
    throw suggestForLayer(error, explicit, (other) => readTrial(other, limits), layoutFixedBy(upload));
  }
  return explicit;
}

/** The mapping that leaves no choice of the layout, or null. */
function layoutFixedBy(upload: LayerUpload | null): string | null {
  if (upload === null) return null;
  const { name, options } = mappingNamed(upload.mapping ?? DEFAULT_MAPPING);
  return options.layout === undefined ? null : name;
}

/** What the mapping says, then the file itself, then the address: the later wins. */
function withUpload(body: object, upload: LayerUpload): object {
  const mapping = mappingNamed(upload.mapping ?? DEFAULT_MAPPING);
  const given = optionsOf(upload);
  if (mapping.options.layout !== undefined && given.layout !== undefined) {
    const detail = `Expected to be left out: mapping ${mapping.name} reads "${mapping.options.layout}".`;
    throw problemAt('invalid_option', '/layout', detail);
  }
  if (!mapping.hasOwnOptions && upload['projections.packed_order'] !== undefined) {
    const detail = `Expected to be left out: mapping ${mapping.name} knows how its matrices are packed.`;
    throw problemAt('invalid_option', '/projections.packed_order', detail);
  }
  if (mapping.needsHeads && given.heads === undefined) throw headsMissing(mapping);
  const merged = merge(merge(mapping.options, body), given);
  return mapping.infersKvHeads ? { ...inferredKvHeads(merged), ...merged } : merged;
}

function headsMissing({ name }: Mapping): Problem {
  const detail = `Missing; expected the number of heads, which a file of mapping ${name} does not say: ?heads=12.`;
  return problemAt('invalid_request', '/heads', detail);
}

/** The options that the query of an address gives, members of members in their objects. */
function optionsOf({ mapping, prefix, ...options }: LayerUpload): LayerOptions {
  if (options.causal !== undefined && options['causal.offset'] !== undefined) {
    throw problemAt('invalid_option', '/causal.offset', 'Expected either causal or causal.offset; got both.');
  }
  const nested: Record<string, unknown> = {};
  for (const [path, value] of Object.entries(options)) {
    const [name, member] = path.split('.');
    nested[name] =
      member === undefined ? value : { ...(nested[name] as object | undefined), [member]: value };
  }
  return nested as LayerOptions;
}

type Members = LayerOptions & Partial<LayerBody>;

/** `over` on top of `under`; of rope and projections, member by member. */
function merge(under: Members, over: Members): Members {
  const rope = under.rope && over.rope ? { rope: { ...under.rope, ...over.rope } } : {};
  const isBoth = under.projections && over.projections;
  const projections = isBoth ? { projections: { ...under.projections, ...over.projections } } : {};
  return { ...under, ...over, ...rope, ...projections };
}

/** G where W_Q has H·d_k output columns and W_K has G·d_k; none where that is no whole number. */
function inferredKvHeads(layer: LayerOptions & Partial<LayerBody>): Pick<LayerOptions, 'kv_heads'> {
  const [queries] = layer.projections?.w_q?.shape ?? [];
  const [keys] = layer.projections?.w_k?.shape ?? [];
  const kvHeads = (keys * (layer.heads ?? 1)) / queries;
  return Number.isInteger(kvHeads) && kvHeads > 0 ? { kv_heads: kvHeads } : {};
}
