import type { Numbers } from './arrays.ts';
import type { CaseTensor, ConformanceCase } from './cases.ts';

/** |got - expected| <= absolute + relative·|expected|. */
export interface Tolerance {
  readonly absolute: number;
  readonly relative: number;
}

/** A result that the response must hold, by its name there. */
export interface Expectation {
  readonly result: string;
  readonly expected: Numbers;
  readonly tolerance: Tolerance;
  /** Which elements are compared; all where not given. */
  readonly where?: (...index: number[]) => boolean;
}

/** One request that a case becomes, and what must come back. */
export interface Exchange {
  readonly path: string;
  readonly body: object;
  readonly expectations: readonly Expectation[];
}

export type Precision = 'float32' | 'float64';

/** A family of cases: how one of them is put to this service. `precision` is added to the body by the runner. */
export interface Family {
  readonly name: string;
  readonly exchanges: (given: ConformanceCase, precision: Precision) => readonly Exchange[];
}

export const SDPA = '/v1/scaled-dot-product-attention';
export const MHA = '/v1/multi-head-attention';
export const GRADIENTS = `${SDPA}/gradients`;

/** The service's own aim for float32: against values that were computed, or at least stored, as float32. */
export const FLOAT32: Tolerance = { absolute: 2e-6, relative: 2e-6 };
/** Against values computed in float64 from the same float32 inputs. */
export const FLOAT64: Tolerance = { absolute: 1e-11, relative: 1e-11 };

export const EXACT: Tolerance = { absolute: 0, relative: 0 };

/** An input that may be absent, as requests take it: its bytes are sent as they are. */
export function optional(name: string, tensor: CaseTensor | undefined): Record<string, CaseTensor> {
  return tensor === undefined ? {} : { [name]: tensor };
}
