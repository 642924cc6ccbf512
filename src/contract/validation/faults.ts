import type { ErrorObject } from 'ajv';
import { type Fault, MOST_FAULTS, pointerToken } from '../../domain/problem.ts';
import { quoted } from '../../domain/quoted.ts';
import { suggest } from './suggest.ts';
import { listWords, type SchemaNode, wordSchema, wordValue } from './wording.ts';

/**
 * Says in plain words where a body does not fit its schema. The errors must come from an Ajv with `verbose`, which
 * gives each error its schema and data.
 */
export function faultsOf(
  errors: readonly ErrorObject[],
  named: ReadonlyMap<string, SchemaNode>,
  member: Named,
): Fault[] {
  return collapseUnions(errors)
    .slice(0, MOST_FAULTS)
    .map((error) => faultOf(error, named, member));
}

function faultOf(error: ErrorObject, named: ReadonlyMap<string, SchemaNode>, member: Named): Fault {
  const schema = error.parentSchema as SchemaNode;
  const properties = schema.properties ?? {};
  switch (error.keyword) {
    case 'additionalProperties': {
      const name = String(error.params.additionalProperty);
      return { pointer: below(error, name), detail: unknownName(member, name, Object.keys(properties)) };
    }
    case 'required': {
      const name = String(error.params.missingProperty);
      return {
        pointer: below(error, name),
        detail: `Missing; expected ${wordSchema(properties[name], named)}.`,
      };
    }
    default:
      return {
        pointer: error.instancePath,
        detail: `Expected ${wordSchema(schema, named)}; got ${wordValue(error.data)}.`,
      };
  }
}

function below(error: ErrorObject, name: string): string {
  return `${error.instancePath}/${pointerToken(name)}`;
}

/** What has a name that may be unknown. */
export type Named = 'field' | 'parameter' | 'tensor';

/** `Unknown field "scal"; did you mean "scale"?`, or what there is where none is near. */
export function unknownName(what: Named, name: string, known: readonly string[]): string {
  const near = suggest(name, known);
  const hint = near.length > 0 ? `did you mean ${listWords(near.map(quoted))}?` : wordKnown(what, known);
  return `Unknown ${what} ${quoted(name)}; ${hint}`;
}

function wordKnown(what: Named, known: readonly string[]): string {
  if (known.length === 0) return `there are no ${what}s here.`;
  return known.length === 1 ? `the only ${what} is ${known[0]}.` : `the ${what}s are ${known.join(', ')}.`;
}

/**
 * Ajv reports a failed union once for each of its branches and once for the whole. One message is enough: the
 * whole, or, where the value has the type of just one object branch, what is wrong inside that branch.
 */
function collapseUnions(errors: readonly ErrorObject[]): readonly ErrorObject[] {
  const union = errors.find(
    (error) => error.keyword === 'anyOf' && errors.some((other) => isWithin(other, error.schemaPath)),
  );
  if (union === undefined) return errors;
  const branches = (union.parentSchema as SchemaNode).anyOf ?? [];
  const objects = branches.flatMap((branch, index) => (branch.type === 'object' ? [index] : []));
  const isObject = typeof union.data === 'object' && union.data !== null && !Array.isArray(union.data);
  const meant = isObject && objects.length === 1 ? `${union.schemaPath}/${objects[0]}` : undefined;
  const kept = errors.filter((error) =>
    meant === undefined
      ? !isWithin(error, union.schemaPath)
      : error !== union && (isWithin(error, meant) || !isWithin(error, union.schemaPath)),
  );
  return collapseUnions(kept);
}

function isWithin(error: ErrorObject, schemaPath: string): boolean {
  return error.schemaPath.startsWith(`${schemaPath}/`);
}
