import { Problem } from '../../src/domain/problem.ts';

/** The Problem that something is refused with; fails where it is not refused. */
export function problemOf(run: () => unknown): Problem {
  try {
    run();
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
  throw new Error('Expected a Problem.');
}
