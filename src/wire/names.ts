/**
 * Names that reach the prototype of an object, or its constructor, in code that assigns by name. No field of
 * the contract has such a name, so a body that holds one is refused wherever it stands.
 */
const FORBIDDEN: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

export function isForbiddenName(name: string): boolean {
  return FORBIDDEN.has(name);
}
