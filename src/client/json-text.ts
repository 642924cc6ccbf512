/**
 * A value as JSON.
 * @throws {RangeError} naming the place of a number that is NaN or infinite, which JSON.stringify turns into null: the
 *   service would take that for an option that is not given, or speak of a null that nobody has written.
 */
export function jsonText(value: object): string {
  const text = JSON.stringify(value);
  // Looking at every number costs more than writing them; where one is lost, there is a null.
  if (text.includes('null')) checkNumbers(value, '');
  return text;
}

function checkNumbers(value: unknown, path: string): void {
  if (typeof value === 'number' && !Number.isFinite(value)) {
    throw new RangeError(`${path}: expected a finite number; got ${value}`);
  }
  if (typeof value !== 'object' || value === null) return;
  const isList = Array.isArray(value) || ArrayBuffer.isView(value);
  for (const [name, member] of Object.entries(value)) {
    const below = isList ? `[${name}]` : path === '' ? name : `.${name}`;
    checkNumbers(member, path + below);
  }
}
