import { type Answer, headerOf, requestBytes } from './connection.ts';
import { floatsOf, type Workload } from './workload.ts';

export const FORMATS = ['raw', 'json'] as const;
export type Format = (typeof FORMATS)[number];

/** What a service is asked again and again, and how the numbers are found in its answer. */
export interface Exchange {
  /** What tells several of one service and format apart; '' where there is one. */
  readonly variant: string;
  readonly request: Uint8Array;
  /** The output [tokens, width], or for an echo the tokens. */
  read(answer: Answer): ArrayLike<number>;
}

const JSON_TYPE = 'application/json';
const BYTES = 'application/octet-stream';
const SAFETENSORS = 'application/vnd.safetensors';
const HEADER_LENGTH = 'Inference-Header-Content-Length';

export function rawExchange(path: string, { raw }: Workload): Exchange {
  const request = requestBytes('POST', path, { 'Content-Type': BYTES }, raw);
  return { variant: '', request, read: ({ body }) => floatsOf(body) };
}

/** `from` and `to` name the members that hold the tokens and the output. */
export function jsonExchange(path: string, { json }: Workload, from: string, to: string): Exchange {
  const body = Buffer.from(`{${JSON.stringify(from)}:${json}}`);
  return {
    variant: '',
    request: requestBytes('POST', path, { 'Content-Type': JSON_TYPE }, body),
    read: ({ body }) => (JSON.parse(textOf(body)) as Record<string, number[][]>)[to].flat(),
  };
}

/** Tensors by name in and out (github.com/huggingface/safetensors, "Format"). */
export function safetensorsExchange(path: string, { raw, tokens, width }: Workload): Exchange {
  const file = safetensors({ embeddings: { shape: [tokens, width], bytes: raw } });
  return {
    variant: 'safetensors',
    request: requestBytes('POST', path, { 'Content-Type': SAFETENSORS, Accept: SAFETENSORS }, file),
    read: ({ body }) => {
      const end = 8 + Number(new DataView(body.buffer, body.byteOffset).getBigUint64(0, true));
      const [from, to] = JSON.parse(textOf(body.subarray(8, end))).output.data_offsets as [number, number];
      return floatsOf(body.subarray(end + from, end + to));
    },
  };
}

interface Float32Bytes {
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** The bytes of a file of float32 tensors. */
export function safetensors(tensors: Readonly<Record<string, Float32Bytes>>): Uint8Array {
  let end = 0;
  const entries = Object.entries(tensors).map(([name, { shape, bytes }]) => {
    const from = end;
    end += bytes.length;
    return [name, { dtype: 'F32', shape, data_offsets: [from, end] }];
  });
  const header = JSON.stringify(Object.fromEntries(entries));
  const padded = header.padEnd(Math.ceil(header.length / 8) * 8);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  return Buffer.concat([length, Buffer.from(padded), ...Object.values(tensors).map(({ bytes }) => bytes)]);
}

/** KServe v2 with binary tensors both ways (Triton, "Binary Tensor Data Extension"). */
export function kserveExchange(path: string, { raw, tokens, width }: Workload): Exchange {
  const parameters = { binary_data_size: raw.length };
  const tensor = { name: 'embeddings', datatype: 'FP32', shape: [tokens, width], parameters };
  const header = Buffer.from(JSON.stringify({ parameters: { binary_data_output: true }, inputs: [tensor] }));
  const headers = { 'Content-Type': BYTES, [HEADER_LENGTH]: String(header.length) };
  return {
    variant: 'KServe',
    request: requestBytes('POST', path, headers, Buffer.concat([header, raw])),
    read: (answer) => {
      let from = Number(headerOf(answer, HEADER_LENGTH));
      const { outputs } = JSON.parse(textOf(answer.body.subarray(0, from))) as {
        outputs: { name: string; parameters?: { binary_data_size?: number } }[];
      };
      for (const { name, parameters } of outputs) {
        const to = from + (parameters?.binary_data_size ?? 0);
        if (name === 'output') return floatsOf(answer.body.subarray(from, to));
        from = to;
      }
      throw new Error('Expected an output named "output" as binary data.');
    },
  };
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();
}
