import type { TSchema } from '@sinclair/typebox';
import { Ajv, type ValidateFunction } from 'ajv';
import { type Fault, Problem } from '../../domain/problem.ts';
import { NAMED_SCHEMAS } from '../schemas/index.ts';
import { TENSOR_SCHEMAS } from '../schemas/tensor.ts';
import { faultsOf } from './faults.ts';
import type { SchemaNode } from './wording.ts';

/** Above this many values only the first fault is looked for, so that a hostile body costs no more than a good one. */
const MANY_VALUES = 1000;

const named = new Map(NAMED_SCHEMAS.map((schema) => [schema.$id as string, schema as SchemaNode]));
const decodedIds = new Set(TENSOR_SCHEMAS.map((schema) => schema.$id));

/** The named schemas as a decoded body meets them: it holds an object for a tensor, which the wire has checked. */
const schemas = NAMED_SCHEMAS.map((schema) =>
  decodedIds.has(schema.$id) ? { $id: schema.$id as string, type: 'object' } : schema,
);

/**
 * For schemas of our own, which TypeBox made: not checked against the schema of schemas, and compiled as they stand. The
 * optimisation of Ajv's code and the inlining of references take three times as long as all else, and save a hundredth
 * of a microsecond each time.
 */
export const TRUSTED_SCHEMAS = {
  meta: false,
  validateSchema: false,
  inlineRefs: false,
  code: { optimize: false },
} as const;

export const AJV_OPTIONS = {
  verbose: true,
  strict: true,
  strictTypes: false,
  addUsedSchema: false,
  ...TRUSTED_SCHEMAS,
  schemas,
} as const;

const bodies = new Ajv(AJV_OPTIONS);
const bodiesInFull = new Ajv({ ...AJV_OPTIONS, allErrors: true });

/**
 * A check of decoded bodies against a schema: it returns what is wrong, a Problem `invalid_request`, or null. Bodies are
 * taken as they are: nothing is turned into another type and nothing is dropped.
 */
export function bodyValidator(schema: TSchema): (body: unknown) => Problem | null {
  const validate = bodies.compile(schema);
  // Most processes never need to explain a fault of most schemas.
  let explain: ValidateFunction | undefined;
  return (body) => {
    if (validate(body)) return null;
    explain ??= bodiesInFull.compile(schema);
    const inFull = !hasMoreValuesThan(MANY_VALUES, body) && !explain(body);
    return problemOf(inFull ? explain : validate);
  };
}

/** A part of a request, and how its members are called: `placeOf` of one, by the pointer to it. */
export interface RequestPart {
  readonly member: 'field' | 'parameter';
  readonly placeOf: (pointer: string) => string;
}

const BODY: RequestPart = { member: 'field', placeOf: (pointer) => (pointer === '' ? 'The body' : pointer) };

/** What a validator that has just failed found. */
export function problemOf({ errors }: ValidateFunction, { member, placeOf } = BODY): Problem {
  const faults = faultsOf(errors ?? [], named, member);
  return new Problem('invalid_request', summarise(faults, placeOf), faults);
}

function summarise(faults: readonly Fault[], placeOf: RequestPart['placeOf']): string {
  const [first] = faults;
  const place = placeOf(first.pointer);
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
