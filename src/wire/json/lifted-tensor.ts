import type { DType, ElementKind, Precision, Tensor } from '../../domain/tensor.ts';
import { converted, type Elements, unravel } from '../dtypes.ts';
import { firstNotFinite } from '../finite.ts';
import { sharedFloat32, sharedFloat64 } from '../shared-memory.ts';
import { overflow } from './element-faults.ts';

/** A tensor out of the body, every element as it was sent: the precision of the call is not yet known. */
export interface LiftedTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: Elements;
  /** Tells where the JSON Pointer of an element leads: in base64 there is none, in binary only that of the tensor. */
  readonly form: 'nested' | 'flat' | 'base64' | 'binary';
}

/** The dtype of elements that do not say theirs. */
export const DEFAULT_DTYPE: Readonly<Record<ElementKind, DType>> = {
  real: 'float32',
  index: 'float64',
  bool: 'bool',
};

/**
 * The tensor as its field and the precision of the call hold it (see ElementKind). Throws `invalid_tensor`
 * where a float64 is too large for a call in float32.
 */
export function settle(
  lifted: LiftedTensor,
  kind: ElementKind,
  precision: Precision,
  pointer: string,
): Tensor {
  const { dtype, shape, data } = lifted;
  if (kind === 'bool' || data instanceof Uint8Array) return { dtype, shape, data };
  if (kind === 'index' || precision === 'float64') {
    const isWide = data instanceof Float64Array;
    return { dtype, shape, data: isWide ? data : converted(data, sharedFloat64(data.length)) };
  }
  if (data instanceof Float32Array) return { dtype, shape, data };
  const narrow = converted(data, sharedFloat32(data.length));
  const element = firstNotFinite(narrow);
  if (element >= 0) {
    const where = { pointer: `${pointer}${placeIn(lifted.form, element)}`, index: unravel(element, shape) };
    throw overflow(where, 'float32', String(data[element]));
  }
  return { dtype, shape, data: narrow };
}

function placeIn(form: LiftedTensor['form'], element: number): string {
  if (form === 'binary') return '';
  return form === 'base64' ? '/data' : `/data/${element}`;
}
