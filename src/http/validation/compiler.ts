import type { TSchema } from '@sinclair/typebox';
import { Ajv, type ValidateFunction } from 'ajv';
import type { FastifySchemaCompiler } from 'fastify';
import { Problem } from '../../domain/problem.ts';
import { faultsOf } from './faults.ts';
import type { SchemaNode } from './wording.ts';

/** Above this many values only the first fault is looked for, so that a hostile body costs no more than a good one. */
const MANY_VALUES = 1000;

/**
 * Validators for Fastify. Bodies are taken as they are: nothing is turned into another type and nothing is dropped.
 * Query strings and headers are text by nature and are read as what the schema names.
 *
 * `decoded` are the $ids of tensors: a decoded body holds an object there, which the wire has already checked.
 */
export function createValidatorCompiler(
  schemas: readonly TSchema[],
  decoded: readonly TSchema[],
): FastifySchemaCompiler<TSchema> {
  const named = new Map(schemas.map((schema) => [schema.$id as string, schema as SchemaNode]));
  const decodedIds = new Set(decoded.map((schema) => schema.$id));
  const shared = schemas.map((schema) =>
    decodedIds.has(schema.$id) ? { $id: schema.$id as string, type: 'object' } : schema,
  );
  const options = { verbose: true, strict: true, strictTypes: false, addUsedSchema: false, schemas: shared };
  const bodies = new Ajv(options);
  const bodiesInFull = new Ajv({ ...options, allErrors: true });
  const texts = new Ajv({ ...options, coerceTypes: 'array', useDefaults: true });

  const check = (validate: ValidateFunction, explain: ValidateFunction) => (data: unknown) => {
    if (validate(data)) return { value: data };
    const inFull = !hasMoreValuesThan(MANY_VALUES, data) && !explain(data);
    const faults = faultsOf((inFull ? explain.errors : validate.errors) ?? [], named);
    return { error: new Problem('invalid_request', summarise(faults), faults) };
  };

  return ({ schema, httpPart }) => {
    if (httpPart === 'body') return check(bodies.compile(schema), bodiesInFull.compile(schema));
    const validate = texts.compile(schema);
    return check(validate, validate);
  };
}

function summarise(faults: readonly { pointer: string; detail: string }[]): string {
  const [first] = faults;
  const place = first.pointer === '' ? 'The body' : first.pointer;
  const others = faults.length - 1;
  const more = others === 0 ? '' : ` And ${others} more ${others === 1 ? 'fault' : 'faults'}.`;
  return `${place}: ${first.detail}${more}`;
}

/** Whether a plain value holds more than `limit` values; looks at no more than that many. */
function hasMoreValuesThan(limit: number, root: unknown): boolean {
  const waiting: unknown[] = [root];
  for (let seen = 0; waiting.length > 0; seen++) {
    const value = waiting.pop();
    if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) continue;
    const members = Object.values(value);
    if (seen + waiting.length + members.length > limit) return true;
    waiting.push(...members);
  }
  return false;
}
