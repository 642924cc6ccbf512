import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** A tensor of the conformance format: base64 of the row-major little-endian elements. */
export interface CaseTensor {
  readonly dtype: 'float32' | 'float64' | 'float16' | 'bfloat16' | 'bool' | 'int32' | 'int64';
  readonly shape: readonly number[];
  readonly data: string;
}

/** One case of a manifest (`attention-conformance/1`). */
export interface ConformanceCase {
  readonly name: string;
  readonly op: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly inputs: Readonly<Record<string, CaseTensor>>;
  readonly outputs: Readonly<Record<string, CaseTensor>>;
}

/** A few cases of every family, for a checkout that has no others. */
const OWN = fileURLToPath(new URL('./cases/', import.meta.url));
/** All public cases, where they lie beside the repository. */
const SHARED = fileURLToPath(new URL('../../../shared/conformance/', import.meta.url));

/** The folder whose families are tested: `CONFORMANCE_DIR`, else the shared one, else our own few. */
export function conformanceFolder(): string {
  const named = process.env.CONFORMANCE_DIR;
  if (named !== undefined && named !== '') return `${named.replace(/\/$/, '')}/`;
  return existsSync(SHARED) ? SHARED : OWN;
}

export function casesOf(family: string): readonly ConformanceCase[] {
  const manifest = JSON.parse(readFileSync(`${conformanceFolder()}${family}/manifest.json`, 'utf8'));
  return manifest.cases;
}

/** A numeric attribute, or the operator's default. */
export function attribute({ attributes }: ConformanceCase, name: string, fallback: number): number {
  return (attributes[name] ?? fallback) as number;
}

/** An attribute that is true or false, or the operator's default. */
export function flag({ attributes }: ConformanceCase, name: string, fallback: boolean): boolean {
  return (attributes[name] ?? fallback) as boolean;
}
