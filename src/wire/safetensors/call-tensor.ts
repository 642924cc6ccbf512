import { type Problem, problemAt } from '../../domain/problem.ts';
import type { DType, ElementKind, Precision, Tensor } from '../../domain/tensor.ts';
import { faultOfShape, readLittleEndian } from '../dtypes.ts';
import { faultyElement } from '../json/element-faults.ts';
import { settle } from '../json/lifted-tensor.ts';
import type { StoredTensor } from './read.ts';
import { STORED_AS, type StoredDType } from './stored-dtypes.ts';

/** The element types that tensors of a call may have, by their names in the format. */
const CALL_DTYPES = Object.fromEntries(
  Object.entries(STORED_AS).map(([dtype, stored]) => [stored, dtype as DType]),
) as Partial<Record<StoredDType, DType>>;

/** What a tensor of a file is read for: the kind of its field, the precision of the call, a JSON Pointer to it. */
export interface CallField {
  readonly kind: ElementKind;
  readonly precision: Precision;
  readonly pointer: string;
}

/**
 * The tensor as its field holds it: a view on the file where that lies on shared memory and the elements are of the
 * type that is wanted, at a multiple of their size; else a copy.
 * @throws {Problem} invalid_tensor: a dtype that is not for this field, a rank that is not 1 to 4, or an element that
 * cannot be used.
 */
export function callTensor({ dtype: stored, shape, bytes }: StoredTensor, field: CallField): Tensor {
  const { kind, precision, pointer } = field;
  const dtype = dtypeFor(kind, stored, pointer);
  const fault = faultOfShape(shape);
  if (fault !== undefined) throw invalid(pointer, fault);
  const elements = readLittleEndian(dtype, bytes);
  if ('element' in elements) throw faultyElement(elements, shape, pointer);
  return settle({ dtype, shape, data: elements, form: 'binary' }, kind, precision, pointer);
}

/** Numbers are no mask and a mask is no numbers; else every dtype goes. */
function dtypeFor(kind: ElementKind, stored: StoredDType, pointer: string): DType {
  const dtype = CALL_DTYPES[stored];
  if (dtype !== undefined && (dtype === 'bool') === (kind === 'bool')) return dtype;
  if (kind === 'bool') {
    const advice = 'Numbers here could be meant as an additive bias, which goes in `bias`';
    throw invalid(pointer, `Expected dtype BOOL; got ${stored}. ${advice}`);
  }
  const numbers = Object.keys(CALL_DTYPES).filter((name) => name !== 'BOOL');
  const advice = dtype === 'bool' ? '. A mask goes in `allow_mask`, `forbid_mask` or `key_valid`' : '';
  throw invalid(pointer, `Expected a dtype among ${numbers.join(', ')}; got ${stored}${advice}`);
}

function invalid(pointer: string, detail: string): Problem {
  return problemAt('invalid_tensor', pointer, detail);
}
