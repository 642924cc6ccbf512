import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger';
import { type TObject, type TProperties, Type } from '@sinclair/typebox';
import { NAMED_SCHEMAS } from '../../contract/schemas/index.ts';
import { describeBinaryBodies } from './binary-bodies.ts';
import type { Examples } from './examples/example.ts';
import { gradientsExamples } from './examples/gradients.ts';
import { INFERENCE_EXAMPLES } from './examples/inference.ts';
import { layerAttentionExamples, putLayerExamples } from './examples/layers.ts';
import { multiHeadAttentionExamples } from './examples/multi-head-attention.ts';
import { scaledDotProductAttentionExamples } from './examples/scaled-dot-product-attention.ts';
import { appendExamples, beginSessionExamples } from './examples/sessions.ts';
import { restoreDescriptions } from './reference-descriptions.ts';

/** Request examples by operationId; every one of them can be sent as it stands. */
export const EXAMPLES: Readonly<Record<string, Examples>> = {
  scaledDotProductAttention: scaledDotProductAttentionExamples,
  scaledDotProductAttentionGradients: gradientsExamples,
  multiHeadAttention: multiHeadAttentionExamples,
  putLayer: putLayerExamples,
  layerAttention: layerAttentionExamples,
  beginSession: beginSessionExamples,
  appendToSession: appendExamples,
  ...INFERENCE_EXAMPLES,
};

const DESCRIPTION = `Attention on your own tensors: outputs, attention maps and every number on the way out.

**Tensors** are nested arrays, \`[[1, 0], [0, 2]]\`, or \`{"dtype", "shape", "data"}\` with row-major \`data\`: flat
numbers, or a base64 string of the little-endian bytes. \`response.encoding\` chooses the form of the response.

**Compression**: bodies may have a \`Content-Encoding\` of gzip, deflate, br or zstd; answers that are long text are
compressed by \`Accept-Encoding\`.

**Letters** in shapes: B batch, L queries, S keys, H query heads, G key/value heads, d_k head size, d_v value head
size, D model size.

**Errors** are problems by RFC 9457, with a \`code\` for programs and, in \`errors\`, a JSON Pointer to each place
that is at fault. What could mean two things is refused, never guessed.`;

const requestIdHeader = {
  'X-Request-Id': Type.Optional(
    Type.String({
      pattern: '^[A-Za-z0-9_-]{1,64}$',
      description:
        'Names the request in the response and in the log; made up where not given or not of this form.',
    }),
  ),
};

const computeRequestHeaders = Type.Object({
  'X-Deadline-Ms': Type.Optional(
    Type.Integer({
      minimum: 1,
      description: 'Milliseconds after which the result is of no use; the request then ends with 504.',
    }),
  ),
  ...requestIdHeader,
});

const requestHeaders = Type.Object(requestIdHeader);

const tags = (description: string) => Type.Optional(Type.String({ description }));

/** Conditions on what there is (RFC 9110, section 13), by operationId. */
const conditions: Readonly<Record<string, TProperties>> = {
  getLayer: { 'If-None-Match': tags('304 where the layer has one of these etags.') },
  getLayerProjections: { 'If-None-Match': tags('304 where the layer has one of these etags.') },
  deleteLayer: { 'If-Match': tags('412 where the layer has none of these etags; * is any.') },
  putLayer: {
    'If-Match': tags('412 where the layer has none of these etags; * is any.'),
    'If-None-Match': tags('412 where the layer has one of these etags; `*` where there is such a layer.'),
  },
};

const headerLength = {
  'Inference-Header-Content-Length': Type.Optional(
    Type.Integer({ minimum: 0, description: 'Bytes of the JSON, where the bytes of tensors follow it.' }),
  ),
};

/** What only some operations read, by operationId. */
const others: Readonly<Record<string, TProperties>> = {
  ...conditions,
  infer: headerLength,
  inferVersion: headerLength,
};

/** Operations with a body that take no place in the engine. */
const UNTIMED: ReadonlySet<string> = new Set(['indexRepository', 'loadModel', 'unloadModel']);

/** The headers of an operation, as its schema tells them. */
function headersOf(schema: { body?: unknown; operationId?: string } | undefined): TObject {
  const { body, operationId = '' } = schema ?? {};
  const isTimed = body !== undefined && !UNTIMED.has(operationId);
  const { properties } = isTimed ? computeRequestHeaders : requestHeaders;
  return Type.Object({ ...properties, ...others[operationId] });
}

/** Options of @fastify/swagger: the document is made from the schemas that the routes validate with. */
export function documentOptions(version: string): FastifyDynamicSwaggerOptions {
  return {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Attention API',
        version,
        description: DESCRIPTION,
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      servers: [{ url: '/', description: 'The instance that serves this document' }],
      tags: [
        { name: 'attention', description: 'Computing attention' },
        { name: 'layers', description: 'Weights that are registered once' },
        { name: 'sessions', description: 'Sequences that grow: prefill, then token by token' },
        { name: 'service', description: 'The service itself' },
        {
          name: 'KServe v2',
          description:
            'The same operations as models of the Open Inference Protocol, for clients of KServe and Triton',
        },
      ],
      security: [],
    },
    convertConstToEnum: false,
    refResolver: {
      buildLocalReference: (json, _baseUri, _fragment, index) => String(json.$id ?? `def-${index}`),
    },
    // Headers are read by hooks, which answer in their own words; here they are only documented.
    transform: ({ schema, url }) => ({
      schema: { ...schema, headers: headersOf(schema) },
      url,
    }),
    transformObject: (documented) => {
      if (!('openapiObject' in documented)) throw new Error('Only OpenAPI documents are made.');
      return complete(documented.openapiObject);
    },
  };
}

type Document = Extract<
  Parameters<NonNullable<FastifyDynamicSwaggerOptions['transformObject']>>[0],
  { openapiObject: unknown }
>['openapiObject'];

/**
 * Adds what the generator has no place for: request examples, binary bodies, and descriptions of fields that are
 * references.
 */
function complete(document: Document): Document {
  for (const path of Object.values(document.paths ?? {})) {
    for (const operation of [path?.post, path?.put]) {
      const content = contentOf(operation?.requestBody);
      const json = content?.['application/json'];
      if (json !== undefined) json.examples = EXAMPLES[operation?.operationId ?? ''] ?? {};
      describeBinaryBodies(content, 'request');
      for (const response of Object.values(operation?.responses ?? {})) {
        describeBinaryBodies(contentOf(response), 'response');
      }
    }
  }
  const schemas = (document.components?.schemas ?? {}) as Record<string, object>;
  for (const schema of NAMED_SCHEMAS) restoreDescriptions(schemas[schema.$id as string], schema);
  return document;
}

function contentOf<Content>(body: object | { readonly content?: Content } | undefined): Content | undefined {
  return body !== undefined && 'content' in body ? body.content : undefined;
}
