import type { TSchema } from '@sinclair/typebox';
import { Ajv } from 'ajv';
import type { FastifySchemaCompiler } from 'fastify';
import { AJV_OPTIONS, problemOf, type RequestPart } from '../../contract/validation/body-validator.ts';

const QUERY: RequestPart = { member: 'parameter', placeOf: (pointer) => pointer.replace('/', '?') };
const ADDRESS: RequestPart = {
  member: 'parameter',
  placeOf: (pointer) => `{${pointer.slice(1)}} in the address`,
};

/**
 * Validators for Fastify. Query strings and parameters are text by nature and are read as what the schema names. A body
 * is bytes when Fastify has it, and is checked where it is decoded, on whatever thread that is.
 */
export function createValidatorCompiler(): FastifySchemaCompiler<TSchema> {
  const texts = new Ajv({ ...AJV_OPTIONS, coerceTypes: 'array', useDefaults: true });
  return ({ schema, httpPart }) => {
    if (httpPart === 'body') return () => true;
    const validate = texts.compile(schema);
    const part = httpPart === 'params' ? ADDRESS : QUERY;
    return (value: unknown) => (validate(value) ? { value } : { error: problemOf(validate, part) });
  };
}
