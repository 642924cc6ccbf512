import type { DType } from '../../domain/tensor.ts';

/** Element types of the safetensors format, and the bits of one element. */
const ELEMENT_BITS = {
  F64: 64,
  F32: 32,
  F16: 16,
  BF16: 16,
  F8_E4M3: 8,
  F8_E5M2: 8,
  F8_E8M0: 8,
  F6_E2M3: 6,
  F6_E3M2: 6,
  F4: 4,
  C64: 64,
  I64: 64,
  I32: 32,
  I16: 16,
  I8: 8,
  U64: 64,
  U32: 32,
  U16: 16,
  U8: 8,
  BOOL: 8,
} as const;

export type StoredDType = keyof typeof ELEMENT_BITS;

export const STORED_DTYPES = Object.keys(ELEMENT_BITS) as readonly StoredDType[];

/** What the element types of calls are called in the format. */
export const STORED_AS: Readonly<Record<DType, StoredDType>> = {
  float64: 'F64',
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
  int64: 'I64',
  int32: 'I32',
  bool: 'BOOL',
};

export function isStoredDType(name: string): name is StoredDType {
  return Object.hasOwn(ELEMENT_BITS, name);
}

/**
 * Bytes of so many elements. Undefined where they do not end on a whole byte, or are more than a number can count
 * exactly.
 */
export function storedBytes(dtype: StoredDType, count: number): number | undefined {
  const bits = count * ELEMENT_BITS[dtype];
  return Number.isSafeInteger(bits) && bits % 8 === 0 ? bits / 8 : undefined;
}

/** What the address of an element has to be a multiple of, for a typed array to lie on it. */
export function alignmentOf(dtype: StoredDType): number {
  return Math.max(1, ELEMENT_BITS[dtype] / 8);
}
