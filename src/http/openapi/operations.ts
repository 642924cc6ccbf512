import type { Operation } from '../pages/landing.ts';

/** The part of an OpenAPI document that lists operations. */
interface Paths {
  readonly paths?: Readonly<Record<string, object | undefined>> | undefined;
}

interface OperationObject {
  readonly operationId?: string;
  readonly summary?: string;
  readonly tags?: readonly string[];
}

const METHODS = ['get', 'put', 'post', 'delete', 'patch'] as const;

/** Every operation of a document, in its order. */
export function listOperations(document: Paths): Operation[] {
  return Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
    METHODS.flatMap((method) => {
      const operation = (item as Record<string, OperationObject | undefined>)[method];
      if (operation === undefined) return [];
      const { operationId = '', summary = '', tags = [] } = operation;
      return [{ method: method.toUpperCase(), path, summary, operationId, tag: tags[0] ?? 'default' }];
    }),
  );
}
