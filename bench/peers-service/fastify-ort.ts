import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import Fastify from 'fastify';

/*
 * The service that an engineer would write with Fastify and onnxruntime-node: a model for each layer with the weights
 * in it, built-in JSON. Takes the folder of models, <layer>/<graph>.onnx, and PORT. Where a layer has several graphs,
 * the fastest here is served.
 */

const THREADS = 2;
const TRIALS = 30;

interface OrtTensor {
  readonly data: Float32Array;
}
interface OrtSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  readonly inputMetadata: readonly { readonly shape: readonly number[] }[];
  run(feeds: Record<string, OrtTensor>): Promise<Record<string, OrtTensor>>;
  release(): Promise<void>;
}
interface OrtPackage {
  readonly Tensor: new (type: 'float32', data: Float32Array, shape: readonly number[]) => OrtTensor;
  readonly InferenceSession: { create(path: string, options: object): Promise<OrtSession> };
}

const { Tensor, InferenceSession } = createRequire(import.meta.url)('onnxruntime-node') as OrtPackage;

class Layer {
  readonly width: number;
  readonly #shape: readonly number[];
  readonly #session: OrtSession;

  private constructor(session: OrtSession) {
    this.#session = session;
    this.#shape = session.inputMetadata[0].shape;
    this.width = this.#shape[2];
  }

  static async open(directory: string): Promise<Layer> {
    let best: { layer: Layer; name: string; ms: number } | null = null;
    for (const file of readdirSync(directory)) {
      const session = await InferenceSession.create(join(directory, file), {
        intraOpNumThreads: THREADS,
        interOpNumThreads: 1,
        logSeverityLevel: 3,
      });
      const layer = new Layer(session);
      const ms = await layer.#fastest();
      if (ms >= (best?.ms ?? Number.POSITIVE_INFINITY)) await layer.release();
      else {
        const slower: Layer | undefined = best?.layer;
        await slower?.release();
        best = { layer, name: basename(file, '.onnx'), ms };
      }
    }
    console.log(`  ONNX Runtime, ${basename(directory)}: graph ${best!.name}, ${best!.ms.toPrecision(3)} ms`);
    return best!.layer;
  }

  /** [tokens, width] in and out. */
  async attend(embeddings: Float32Array): Promise<Float32Array> {
    const { inputNames, outputNames } = this.#session;
    const feeds = { [inputNames[0]]: new Tensor('float32', embeddings, this.#shape) };
    return (await this.#session.run(feeds))[outputNames[0]].data;
  }

  release(): Promise<void> {
    return this.#session.release();
  }

  async #fastest(): Promise<number> {
    const embeddings = new Float32Array(this.#shape.reduce((product, size) => product * size, 1)).fill(0.1);
    let fastest = Number.POSITIVE_INFINITY;
    for (let trial = 0; trial < TRIALS; trial++) {
      const start = performance.now();
      await this.attend(embeddings);
      fastest = Math.min(fastest, performance.now() - start);
    }
    return fastest;
  }
}

const folder = process.argv[2];
const layers = new Map<string, Layer>();
for (const name of readdirSync(folder)) layers.set(name, await Layer.open(join(folder, name)));

const app = Fastify({ bodyLimit: 64 * 1024 * 1024 });
app.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (_request, body, done) => {
  done(null, body);
});
app.get('/health', () => ({}));

app.post<{ Params: { layer: string }; Body: Buffer }>('/:layer/raw', async (request, reply) => {
  const { buffer, byteOffset, byteLength } = request.body;
  const embeddings = new Float32Array(buffer, byteOffset, byteLength / 4);
  const output = await layers.get(request.params.layer)!.attend(embeddings);
  reply.type('application/octet-stream');
  return Buffer.from(output.buffer, output.byteOffset, output.byteLength);
});

app.post<{ Params: { layer: string }; Body: { embeddings: number[][] } }>('/:layer/json', async (request) => {
  const layer = layers.get(request.params.layer)!;
  const rows = request.body.embeddings;
  const embeddings = new Float32Array(rows.length * layer.width);
  rows.forEach((row, at) => {
    embeddings.set(row, at * layer.width);
  });
  const output = await layer.attend(embeddings);
  return {
    output: rows.map((_, at) => Array.from(output.subarray(at * layer.width, (at + 1) * layer.width))),
  };
});

await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) });
