import type { TSchema } from '@sinclair/typebox';
import { Ajv } from 'ajv';
import type { FastifySchemaCompiler } from 'fastify';
import { AJV_OPTIONS, bodyValidator, problemOf } from '../../contract/validation/body-validator.ts';

/**
 * Validators for Fastify. Query strings and headers are text by nature and are read as what the schema names; bodies
 * are taken as they are.
 */
export function createValidatorCompiler(): FastifySchemaCompiler<TSchema> {
  const texts = new Ajv({ ...AJV_OPTIONS, coerceTypes: 'array', useDefaults: true });
  return ({ schema, httpPart }) => {
    if (httpPart === 'body') {
      const faultOf = bodyValidator(schema);
      return (value: unknown) => {
        const error = faultOf(value);
        return error === null ? { value } : { error };
      };
    }
    const validate = texts.compile(schema);
    return (value: unknown) => (validate(value) ? { value } : { error: problemOf(validate) });
  };
}
