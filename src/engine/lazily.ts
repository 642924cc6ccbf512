/** What `make` makes, at the first time that somebody asks for it and never again. */
export function lazily<Value extends object>(make: () => Value): () => Value {
  let value: Value | undefined;
  return () => (value ??= make());
}
