import type { PackedWeight } from '../domain/call.ts';
import type { LinearName } from '../domain/linears.ts';
import type { LayerBody } from './schemas/layers.ts';

/** A registered layer as calls use it: plain data on shared memory, so that it crosses threads without a copy. */
export interface Layer {
  readonly name: string;
  /** SHA-256 of its content, in hexadecimal digits. */
  readonly etag: string;
  readonly body: LayerBody;
  /** Its weights as the kernel of its precision multiplies them; empty where none packs, or memory is short. */
  readonly packed: Readonly<Partial<Record<LinearName, PackedWeight>>>;
}
