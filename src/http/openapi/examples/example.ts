/** A request that the documentation shows and that anyone can send as it stands. */
export interface Example {
  readonly summary: string;
  readonly description: string;
  readonly value: Readonly<Record<string, unknown>>;
}

/** By name; the first one is what Swagger UI opens with. */
export type Examples = Readonly<Record<string, Example>>;
