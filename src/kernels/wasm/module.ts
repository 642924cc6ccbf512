import { readFileSync } from 'node:fs';

/**
 * The compiled kernels: `relaxed` multiplies and adds in one instruction where the machine has it (relaxed SIMD, in V8
 * since 11.4), `simd` in two.
 */
export const VARIANTS = ['relaxed', 'simd'] as const;
export type Variant = (typeof VARIANTS)[number];

/**
 * What assembly/index.ts exports. Addresses are bytes in the module's own memory, counts are elements; `panel` is a panel
 * of 8 queries as assembly/state.ts lays it out.
 */
export interface Code {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  /** Where free memory begins. */
  heapBase(): number;

  packHeight(from: number, stride: number, rows: number, depth: number, to: number): void;
  packLanes(from: number, stride: number, rows: number, depth: number, to: number): void;
  packLaneColumns(
    from: number,
    stride: number,
    columns: number,
    depth: number,
    to: number,
    panelStride: number,
  ): void;
  project(x: number, tokens: number, w: number, panels: number, width: number, result: number): void;
  storeColumns(result: number, tokens: number, columns: number, bias: number, rows: number): number;

  setHead(size: number, value: number, ordinary: number, softcap: number, alibi: boolean): void;
  setKeys(
    first: number,
    count: number,
    keys: number,
    values: number,
    marks: number,
    sizes: number,
    valid: number,
  ): void;
  setAddends(bias: number, allow: number, forbid: number, key: number, stride: number): void;
  packKeys(keys: number, values: number, first: number, count: number): void;

  panelBytes(): number;
  packQueries(panel: number, rows: number, lanes: number, scale: number): void;
  beginPanel(panel: number): void;
  attend(panels: number, panelBytes: number, rows: number, s: number): number;
  finishPanel(panel: number, lanes: number, rows: number): number;

  logitRows(panel: number, row: number, lanes: number, stage: number, s: number, rows: number): number;
  weigh(panel: number, row: number, lanes: number, reduce: number, s: number, weights: number): void;
  weightRows(weights: number, lanes: number, rows: number): void;
}

/** The part of the standard that is used here; the type library of Node.js has none of it. */
declare const WebAssembly: {
  validate(bytes: Uint8Array): boolean;
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

/** The variants that this runtime can run, fastest first. */
export function availableVariants(): Variant[] {
  return VARIANTS.filter((variant) => WebAssembly.validate(read(variant)));
}

export function instantiate(variant: Variant): Code {
  const module = new WebAssembly.Module(read(variant));
  return new WebAssembly.Instance(module).exports as Code;
}

function read(variant: Variant): Uint8Array {
  return readFileSync(new URL(`compiled/${variant}.wasm`, import.meta.url));
}
