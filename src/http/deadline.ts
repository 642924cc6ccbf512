import { Problem } from '../domain/problem.ts';
import { quoted } from '../domain/quoted.ts';

/**
 * The caller's deadline, in milliseconds from now; undefined where it names none. The engine caps it.
 * @throws {Problem} invalid_header where the value is not a positive integer.
 */
export function readDeadline(header: string | readonly string[] | undefined): number | undefined {
  if (header === undefined) return undefined;
  const deadline = typeof header === 'string' && /^\d{1,15}$/.test(header) ? Number(header) : 0;
  if (deadline > 0) return deadline;
  const got = quoted(String(header));
  throw new Problem('invalid_header', `X-Deadline-Ms: expected a positive integer; got ${got}.`);
}
