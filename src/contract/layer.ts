import type { PackedWeight } from '../domain/call.ts';
import type { LayerBody } from './schemas/layers.ts';

/** The matrices of a layer that a kernel packs. */
export const PACKED_PARTS = ['query', 'key', 'value', 'output'] as const;
export type PackedPart = (typeof PACKED_PARTS)[number];

/** A registered layer as calls use it: plain data on shared memory, so that it crosses threads without a copy. */
export interface Layer {
  readonly name: string;
  /** SHA-256 of its content, in hexadecimal digits. */
  readonly etag: string;
  readonly body: LayerBody;
  /** Its weights as the kernel of its precision multiplies them; empty where none packs, or memory is short. */
  readonly packed: Readonly<Partial<Record<PackedPart, PackedWeight>>>;
}
