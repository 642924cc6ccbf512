import type { Answer, AnswerTensor, Json } from '../../domain/answer.ts';
import { elementCount } from '../../domain/tensor.ts';
import { assertAllWritable } from '../finite.ts';
import type { EncodeOptions, TensorEncoding } from '../format.ts';
import { type CodecAddon, codecAddon } from '../native/addon.ts';
import { CLOSE_BRACE, CLOSE_BRACKET, COMMA, OPEN_BRACE, OPEN_BRACKET } from './ascii.ts';
import { ByteWriter, releaseBytes } from './byte-writer.ts';

/**
 * Encodes an answer as a JSON object in UTF-8: its tensors in their order, then the members of its envelope. A
 * dotted name is a member of an object, `{"weights": {"indices": …}}`.
 *
 * A float32 is written as the shortest decimal that reads back as the same float32, -Infinity as null in
 * arrays, and -0 as 0, all as JSON.stringify would write numbers of that precision. Throws where a result holds
 * NaN or Infinity.
 */
export function encodeJson(
  answer: Answer,
  { encoding }: EncodeOptions,
  addon: CodecAddon | null = codecAddon,
): Uint8Array {
  const writer = new ByteWriter(addon);
  try {
    writeMembers(writer, membersOf(answer), encoding);
    return writer.finish();
  } finally {
    releaseBytes();
  }
}

type Members = Map<string, Members | TensorLeaf | JsonLeaf>;
type TensorLeaf = { readonly tensor: AnswerTensor };
type JsonLeaf = { readonly json: Json };

function membersOf(answer: Answer): Members {
  const root: Members = new Map();
  for (const [name, tensor] of Object.entries(answer.tensors)) {
    const path = name.split('.');
    const last = path.pop() as string;
    let parent = root;
    for (const step of path) {
      const child = parent.get(step) ?? new Map();
      if (!(child instanceof Map)) throw new Error(`${step} of ${name} is a tensor of the answer itself`);
      parent.set(step, child);
      parent = child;
    }
    add(parent, last, { tensor });
  }
  for (const [name, json] of Object.entries(answer.envelope)) addJson(root, name, json);
  return root;
}

/** Members of an envelope object join the tensors that have the same object in their names. */
function addJson(parent: Members, name: string, json: Json): void {
  const there = parent.get(name);
  if (there instanceof Map && typeof json === 'object' && json !== null && !Array.isArray(json)) {
    for (const [member, value] of Object.entries(json)) addJson(there, member, value);
  } else {
    add(parent, name, { json });
  }
}

function add(parent: Members, name: string, leaf: TensorLeaf | JsonLeaf): void {
  if (parent.has(name)) throw new Error(`${name} is in the answer twice`);
  parent.set(name, leaf);
}

function writeMembers(writer: ByteWriter, members: Members, encoding: TensorEncoding): void {
  writer.byte(OPEN_BRACE);
  let isFirst = true;
  for (const [name, member] of members) {
    writer.text(`${isFirst ? '' : ','}${JSON.stringify(name)}:`);
    isFirst = false;
    if (member instanceof Map) writeMembers(writer, member, encoding);
    else if ('tensor' in member) writeTensor(writer, member.tensor, encoding);
    else writer.text(textOf(member.json));
  }
  writer.byte(CLOSE_BRACE);
}

/** Objects of answers that come again and again, such as what was applied, with other numbers in their tensors. */
const texts = new WeakMap<object, string>();

function textOf(json: Json): string {
  if (typeof json !== 'object' || json === null) return JSON.stringify(json);
  let text = texts.get(json);
  if (text === undefined) {
    text = JSON.stringify(json);
    texts.set(json, text);
  }
  return text;
}

function writeTensor(writer: ByteWriter, tensor: AnswerTensor, encoding: TensorEncoding): void {
  const { dtype, shape, data } = tensor;
  const count = elementCount(shape);
  if (count !== data.length) throw new Error(`A result of shape [${shape}] has ${data.length} elements`);
  if (encoding === 'nested') {
    if (!writer.arrays(tensor)) writeNested(writer, tensor, 0, 0);
    return;
  }
  writer.text(`{"dtype":"${dtype}","shape":[${shape}],"data":`);
  if (encoding === 'base64') {
    assertAllWritable(data);
    writer.base64(data);
  } else {
    writer.byte(OPEN_BRACKET);
    writer.numbers(data, 0, count);
    writer.byte(CLOSE_BRACKET);
  }
  writer.byte(CLOSE_BRACE);
}

/** Writes the part of a tensor whose first element is `from`, all axes from `axis` on. Returns where it ends. */
function writeNested(writer: ByteWriter, tensor: AnswerTensor, axis: number, from: number): number {
  const { shape, data } = tensor;
  if (axis === shape.length) {
    writer.numbers(data, from, from + 1);
    return from + 1;
  }
  const size = shape[axis];
  let end = from;
  writer.byte(OPEN_BRACKET);
  if (axis === shape.length - 1) {
    end += size;
    writer.numbers(data, from, end);
  } else {
    for (let index = 0; index < size; index++) {
      if (index > 0) writer.byte(COMMA);
      end = writeNested(writer, tensor, axis + 1, end);
    }
  }
  writer.byte(CLOSE_BRACKET);
  return end;
}
