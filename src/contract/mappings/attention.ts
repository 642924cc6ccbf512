import { tensorFieldsOf } from '../schemas/index.ts';
import { LayerSchema } from '../schemas/layers.ts';
import type { Mapping, Naming } from './mapping.ts';

const PROJECTIONS = 'projections.';
const fields = Object.keys(tensorFieldsOf(LayerSchema));

/** Every tensor of a layer, by its path with or without this in front. Which of them there must be depends on the others. */
function naming(nameOf: (field: string) => string): Naming {
  return Object.fromEntries(fields.map((field) => [nameOf(field), { field, isOptional: true }]));
}

/** Our own names, `w_q` or `projections.w_q`, and `rope.cos`, `sinks` and the like; options stand in the metadata. */
export const attention: Mapping = {
  name: 'attention',
  title: 'the names of this service',
  modules: [''],
  namings: [naming(nameInFile), naming((field) => field)],
  ignored: null,
  options: {},
  needsHeads: false,
  hasOwnOptions: true,
  infersKvHeads: false,
};

/** Our own name of a tensor field, in files: `w_q` for `projections.w_q`. */
export function nameInFile(field: string): string {
  return field.startsWith(PROJECTIONS) ? field.slice(PROJECTIONS.length) : field;
}
