import type { Precision } from '../domain/tensor.ts';
import type { DecodeOptions } from './format.ts';

/**
 * The precision that the real tensors of a body are held in: that of its call, which the body says or else its layer.
 * Whatever else stands there is refused when the envelope is read.
 */
export function heldPrecision(
  { precision }: Readonly<Record<string, unknown>>,
  { precision: otherwise }: DecodeOptions,
): Precision {
  return (precision ?? otherwise) === 'float64' ? 'float64' : 'float32';
}
