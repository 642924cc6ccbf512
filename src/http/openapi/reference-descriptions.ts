/** The part of a schema that leads to its references. */
interface Node {
  $ref?: string;
  description?: string;
  properties?: Record<string, Node>;
  anyOf?: Node[];
}

/**
 * Gives references in a generated schema the descriptions that stand beside them in its source. JSON Schema 2020-12,
 * and so OpenAPI 3.1, reads what stands beside a `$ref`; the generator drops it, as OpenAPI 3.0 had to.
 */
export function restoreDescriptions(generated: Node, source: Node): void {
  if (source.$ref !== undefined) {
    if (source.description !== undefined) generated.description = source.description;
    return;
  }
  for (const [name, property] of Object.entries(source.properties ?? {})) {
    const counterpart = generated.properties?.[name];
    if (counterpart !== undefined) restoreDescriptions(counterpart, property);
  }
  for (const [index, option] of (source.anyOf ?? []).entries()) {
    const counterpart = generated.anyOf?.[index];
    if (counterpart !== undefined) restoreDescriptions(counterpart, option);
  }
}
