import type { ElementKind, Tensor } from '../../domain/tensor.ts';
import type { Decoded, DecodeOptions } from '../format.ts';
import { heldPrecision } from '../held-precision.ts';
import { type CodecAddon, codecAddon } from '../native/addon.ts';
import { Cursor } from './cursor.ts';
import { DecimalScanner } from './decimal-scanner.ts';
import { releaseScratch } from './elements.ts';
import { EnvelopeScanner, type ScannedBody } from './envelope-scanner.ts';
import { type FieldNode, fieldTree } from './fields.ts';
import { type LiftedTensor, settle } from './lifted-tensor.ts';
import { TensorReader } from './tensor-reader.ts';

/**
 * Decodes a JSON body (RFC 8259, in UTF-8 without a byte order mark). The numbers of tensors go straight from
 * the bytes into typed arrays on shared memory; the rest goes through JSON.parse.
 *
 * Throws `malformed_body` (400) for what is not JSON or nests too deep, `invalid_request` (400) for an envelope
 * above the limit or a name longer than any, and `invalid_tensor` (422), each with a JSON Pointer.
 *
 * What comes out is the same, to the bit and to the word, with the addon and without.
 */
export function decodeJson(
  bytes: Uint8Array,
  options: DecodeOptions,
  addon: CodecAddon | null = codecAddon,
): Decoded {
  try {
    const { fields, limits } = options;
    const tree = fieldTree(fields);
    const cursor = new Cursor(bytes);
    const numbers = new DecimalScanner(bytes);
    const tensors = new TensorReader(cursor, numbers, limits.jsonDepth, addon);
    const scanner = new EnvelopeScanner(cursor, numbers, limits, (kind: ElementKind) => tensors.read(kind));
    const scanned = scanner.scan(tree);
    return settleAll(scanned, tree, options);
  } finally {
    releaseScratch();
  }
}

/**
 * Parses the envelope, in which an ordinal stands for each tensor. What JSON.parse keeps of a member that was
 * given twice, the last one, thereby decides which tensor counts.
 */
function settleAll(
  { envelope: text, lifted }: ScannedBody<LiftedTensor>,
  tree: FieldNode,
  options: DecodeOptions,
): Decoded {
  const envelope = JSON.parse(text) as Record<string, unknown>;
  const precision = heldPrecision(envelope, options);
  const tensors: Record<string, Tensor> = {};
  const collect = (parent: Record<string, unknown>, fields: FieldNode): void => {
    for (const [name, field] of fields.members) {
      if (!Object.hasOwn(parent, name)) continue;
      const value = parent[name];
      if (field.kind !== undefined) {
        const pointer = `/${field.path.replaceAll('.', '/')}`;
        tensors[field.path] = settle(lifted[value as number], field.kind, precision, pointer);
        delete parent[name];
      } else if (isObject(value)) {
        collect(value, field);
      }
    }
  };
  collect(envelope, tree);
  return { envelope, tensors, form: text.length <= LONGEST_FORM ? formOf(text, tensors) : undefined };
}

/** Of longer envelopes it takes less time to read them again than to compare them. */
const LONGEST_FORM = 1024;

function formOf(envelope: string, tensors: Readonly<Record<string, Tensor>>): string {
  let form = envelope;
  for (const name in tensors) form += `\n${name} ${tensors[name].dtype} ${tensors[name].shape}`;
  return form;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
