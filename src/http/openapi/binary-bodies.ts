/** Bodies that JSON Schema has no words for, by their media type. */
const BINARY_BODIES: Readonly<Record<string, { readonly request?: string; readonly response: string }>> = {
  'application/vnd.safetensors': {
    request:
      'A safetensors file. Its tensors are named by their dotted path in the JSON body, `query` or ' +
      '`projections.w_q`, with dtype F64, F32, F16, BF16, I64 or I32, masks BOOL; the rest of that body is JSON in ' +
      '`__metadata__.request`.',
    response:
      'A safetensors file. Its tensors are named by their dotted path in the JSON answer, `output` or ' +
      '`weights.indices`; the rest of that answer is JSON in `__metadata__.response`. A masked logit is -Infinity, ' +
      'and `response.encoding` says nothing.',
  },
  'application/octet-stream': {
    request:
      'The request as JSON, in which every tensor that follows as bytes has `parameters.binary_data_size` and no `data`; ' +
      'then these bytes, little-endian and row-major, in the order of `inputs`. Inference-Header-Content-Length is the ' +
      'length of the JSON in bytes; without that header all of the body is JSON.',
    response:
      'The response as JSON, padded with spaces to a multiple of 8 bytes, then the bytes of the outputs that have ' +
      '`parameters.binary_data_size`, in their order. Inference-Header-Content-Length is the length of the JSON and the ' +
      'spaces. A masked logit is -Infinity.',
  },
  'application/x-npy': {
    response: 'The output alone, as a .npy file of little-endian float32, or float64 with that precision.',
  },
};

type Content = Record<string, { schema?: object }> | undefined;

/** Describes the binary bodies in the content of a request or a response; the generator gave them the schema of JSON. */
export function describeBinaryBodies(content: Content, direction: 'request' | 'response'): void {
  if (content === undefined) return;
  for (const mediaType of Object.keys(content)) {
    const description = BINARY_BODIES[mediaType]?.[direction];
    // An object of its own: the generator's stands for every media type.
    if (description !== undefined) {
      content[mediaType] = { schema: { type: 'string', format: 'binary', description } };
    }
  }
}
