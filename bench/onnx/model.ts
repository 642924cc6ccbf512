import { MessageWriter } from './protobuf.ts';

/** An array with its shape, as it becomes an initializer or an input. */
export interface OnnxTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array | BigInt64Array;
}

export type Attribute = number | { readonly float: number } | readonly number[];

/** Operator sets of the models: the one that has Attention, and ONNX Runtime's own. */
const OPERATOR_SETS = { '': 23, 'com.microsoft': 1 } as const;
export type Domain = keyof typeof OPERATOR_SETS;

const IR_VERSION = 10;

/**
 * A graph under construction: values are known by name, and `node` gives the name of what it computes. Field numbers
 * are those of onnx.proto (github.com/onnx/onnx/blob/main/onnx/onnx.proto).
 */
export class GraphBuilder {
  readonly feeds: Record<string, OnnxTensor> = {};
  readonly #graph = new MessageWriter().string(2, 'attention');
  #values = 0;

  /** A value given at every run; `tensor` is what the benchmark gives. */
  input(name: string, tensor: OnnxTensor): string {
    this.feeds[name] = tensor;
    this.#graph.message(11, valueInfo(name, elementType(tensor), tensor.shape));
    return name;
  }

  /** A value that is part of the model, such as a weight. */
  constant(tensor: OnnxTensor): string {
    const name = `constant${this.#values++}`;
    const { buffer, byteOffset, byteLength } = tensor.data;
    const proto = new MessageWriter();
    for (const size of tensor.shape) proto.int(1, size);
    proto.int(2, elementType(tensor)).string(8, name);
    proto.bytes(9, new Uint8Array(buffer, byteOffset, byteLength));
    this.#graph.message(5, proto);
    return name;
  }

  /** Adds a node of one result. An input of '' is one that is not given. */
  node(
    op: string,
    inputs: readonly string[],
    attributes?: Record<string, Attribute>,
    domain?: Domain,
  ): string {
    return this.nodes(op, inputs, 1, attributes, domain)[0];
  }

  /** Adds a node of several results. */
  nodes(
    op: string,
    inputs: readonly string[],
    results: number,
    attributes: Record<string, Attribute> = {},
    domain: Domain = '',
  ): string[] {
    const outputs = Array.from({ length: results }, () => `value${this.#values++}`);
    const proto = new MessageWriter();
    for (const input of inputs) proto.string(1, input);
    for (const output of outputs) proto.string(2, output);
    proto.string(4, op);
    for (const [name, value] of Object.entries(attributes)) proto.message(5, attribute(name, value));
    proto.string(7, domain);
    this.#graph.message(1, proto);
    return outputs;
  }

  /** A float32 result of the model. */
  output(name: string, shape: readonly number[]): void {
    this.#graph.message(12, valueInfo(name, FLOAT, shape));
  }

  /** The bytes of the ModelProto. */
  model(): Uint8Array {
    const model = new MessageWriter().int(1, IR_VERSION).message(7, this.#graph);
    for (const [domain, version] of Object.entries(OPERATOR_SETS)) {
      model.message(8, new MessageWriter().string(1, domain).int(2, version));
    }
    return model.finish();
  }
}

const FLOAT = 1;
const INT32 = 6;
const INT64 = 7;

function elementType({ data }: OnnxTensor): number {
  if (data instanceof Float32Array) return FLOAT;
  return data instanceof Int32Array ? INT32 : INT64;
}

function valueInfo(name: string, type: number, shape: readonly number[]): MessageWriter {
  const shapeProto = new MessageWriter();
  for (const size of shape) shapeProto.message(1, new MessageWriter().int(1, size));
  const tensorType = new MessageWriter().int(1, type).message(2, shapeProto);
  return new MessageWriter().string(1, name).message(2, new MessageWriter().message(1, tensorType));
}

function attribute(name: string, value: Attribute): MessageWriter {
  const proto = new MessageWriter().string(1, name);
  if (typeof value === 'number') return proto.int(3, value).int(20, 2);
  if ('float' in value) return proto.float(2, value.float).int(20, 1);
  for (const item of value) proto.int(8, item);
  return proto.int(20, 7);
}
