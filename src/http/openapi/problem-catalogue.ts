import type { Fault, ProblemCode } from '../../domain/problem.ts';

/** What a kind of problem means, what to do about it, and one that really happens, in the words of the service. */
export interface ProblemExplanation {
  readonly meaning: string;
  readonly remedy: string;
  readonly detail: string;
  readonly errors: readonly Fault[];
}

/** An explanation whose one fault says what the detail says. */
function fault(meaning: string, remedy: string, pointer: string, said: string): ProblemExplanation {
  const detail = pointer === '' ? said : `${pointer}: ${said}`;
  return { meaning, remedy, detail, errors: [{ pointer, detail: said }] };
}

function plain(meaning: string, remedy: string, detail: string): ProblemExplanation {
  return { meaning, remedy, detail, errors: [] };
}

export const PROBLEM_EXPLANATIONS: Readonly<Record<ProblemCode, ProblemExplanation>> = {
  malformed_request: plain(
    'The request could not be parsed: broken HTTP syntax, no Host, or an address with broken escapes.',
    'Use an HTTP/1.1 client library, and percent-encode the address.',
    'The request cannot be parsed as HTTP/1.1.',
  ),
  malformed_body: fault(
    'The body is not what its Content-Type says: broken JSON, nesting that is too deep, or bytes that end too early.',
    'Send complete, valid JSON in UTF-8. NaN and Infinity are no JSON numbers.',
    '/scale',
    "Expected a JSON value; got '}' at byte 29",
  ),
  invalid_request: fault(
    'The body is readable, but has a field that is unknown, missing, or of the wrong type.',
    'Compare the field that the pointer names with the schema of the operation. Nothing is converted silently.',
    '/scal',
    'Unknown field "scal"; did you mean "scale"?',
  ),
  invalid_header: plain(
    'A header that steers the request has a value that cannot be used.',
    'X-Deadline-Ms takes a positive integer, in milliseconds; If-Match and If-None-Match entity tags in double quotes, or *; ' +
      'Inference-Header-Content-Length a number of bytes that the body has.',
    'X-Deadline-Ms: expected a positive integer; got "soon".',
  ),
  not_found: plain(
    'Nothing lives at this address.',
    'See the API documentation for every address.',
    'There is nothing at /v1/attention; /docs and /openapi.json list every address.',
  ),
  method_not_allowed: plain(
    'The address exists, but takes other methods; the Allow header lists them.',
    'Compute routes take POST.',
    '/v1/multi-head-attention takes POST, OPTIONS; got GET.',
  ),
  not_acceptable: plain(
    'Accept rules out every media type in which the result can be written, or Accept-Encoding every coding and none.',
    'Leave the header out, or name one of those that the detail lists.',
    'Expected Accept to allow one of application/json, application/vnd.safetensors, application/x-npy; got text/csv.',
  ),
  request_timeout: plain(
    'The headers or the body took too long to arrive.',
    'Send the request in one go. Large bodies are better sent as bytes than as printed numbers.',
    'The headers or the body did not arrive in time.',
  ),
  conflict: plain(
    'The same layer was changed again and again while the request was at it.',
    'Send the request again, or with If-Match, so that only one of several writers gets through.',
    'Layer "encoder.layer.0" was changed by others on every attempt to write it.',
  ),
  position_conflict: fault(
    'The session does not have as many tokens as expected_position says: another append came in between.',
    'GET the session for its position. An append that is repeated as it was is answered again, and is no conflict.',
    '/expected_position',
    'The session is at position 12; got 8.',
  ),
  session_lost: plain(
    'The session is gone: it was deleted, nothing was appended for long, its memory was needed, or its layer changed.',
    'Begin a new one and append all tokens again.',
    'The session is gone: it was deleted. Begin a new one and append all tokens again.',
  ),
  precondition_failed: plain(
    'If-Match names a content that the layer does not have, or If-None-Match one that it has.',
    'Fetch the layer, look at its ETag and decide again. `If-None-Match: *` means: only if it is new.',
    'If-None-Match: expected layer "encoder.layer.0" not to exist; it has ' +
      '"8a6081630438148b463a507e7def519a132d40dfb70677913271fe9085793447".',
  ),
  body_too_large: plain(
    'The body is larger than this address takes. /v1/info names the limits.',
    'Split the batch, or send tensors as base64 in place of printed numbers.',
    'The body may have 67108864 bytes here; Content-Length says 80000000.',
  ),
  unsupported_media_type: plain(
    'The body is in a format, or has a Content-Encoding, that this operation does not read.',
    'Send one of the types that the detail lists.',
    'Expected a body of application/json, application/vnd.safetensors; got Content-Type text/csv.',
  ),
  expectation_failed: plain(
    'The Expect header asks for something other than to be told when to send the body.',
    'Leave Expect out, or send `Expect: 100-continue`.',
    'Expect: expected "100-continue", or no such header; got "200-ok".',
  ),
  invalid_tensor: fault(
    'A tensor is ragged, or holds a number that cannot be used, such as NaN or one beyond the range of its type.',
    'The pointer leads to the element.',
    '/query/1',
    'Expected 2 entries at index [1], as in the arrays before it; got 1',
  ),
  shape_mismatch: fault(
    'Every tensor is fine, but they do not fit each other, or not the number of heads.',
    'The message names the expected shape in letters and numbers.',
    '/value',
    'Expected one value for each of the 2 rows of /key; got [1, 1].',
  ),
  mapping_mismatch: {
    meaning: 'The names of the tensors in the file are not those of the mapping, at this prefix.',
    remedy: 'The detail says what was expected, what the file has, and which prefix or mapping would fit.',
    detail:
      'Mapping torch expects in_proj_weight, out_proj.weight, or q_proj_weight, k_proj_weight, v_proj_weight, out_proj.weight. ' +
      'The file has 1 tensor, "wq", but not "in_proj_weight" or "out_proj.weight".',
    errors: [
      { pointer: '/in_proj_weight', detail: 'Missing; expected a tensor.' },
      { pointer: '/out_proj.weight', detail: 'Missing; expected a tensor.' },
    ],
  },
  invalid_option: fault(
    'An option is well-formed but cannot be applied to this call, or could mean two things.',
    'The message says what the choices are.',
    '/causal',
    'true could mean two things where L = 1 differs from S = 2. Say "upper_left" for key j <= query i (PyTorch is_causal, JAX), ' +
      '"lower_right" for j <= i + S - L = i + 1 (FlashAttention, a cache), or {"offset": n} for j <= i + n.',
  ),
  empty_row: fault(
    'A query may see no key, and the call said that this is an error.',
    'Correct the masks, or set empty_rows to "zero".',
    '/empty_rows',
    '1 row of the map may see no key, and "error" was asked for; the first is sample 0, head 0, query 0.',
  ),
  numeric_overflow: fault(
    'Every input is finite, but the result is beyond the range of the precision.',
    'Use "precision": "float64", or scale the inputs down.',
    '',
    'A number on the way is beyond the range of float32. Scale the inputs down, or send precision "float64".',
  ),
  over_budget: fault(
    'The call would use more memory or arithmetic than one request may. /v1/info names the budgets.',
    'Ask for fewer heads or queries of the map, for its top_k, or split the call.',
    '/return/weights',
    'The maps asked for take 1,073,741,824 bytes; one response may hold 268,435,456. ' +
      'Choose heads or queries, reduce over heads, or ask for the top_k keys.',
  ),
  headers_too_large: plain(
    'The request line and the headers are larger than the service takes.',
    'Send less in headers.',
    'The request line and headers together may have 16 KiB.',
  ),
  internal_error: plain(
    'The service made a mistake. The request may well be right.',
    'Try again; if it stays, report the request_id.',
    'The service met an error of its own, which is logged under the request_id of this problem.',
  ),
  layer_damaged: plain(
    'What the store holds is not what was registered: bytes were lost or changed. It is not used, and not deleted.',
    'Register the layer again. The log names the file.',
    'Layer "encoder.layer.0" is damaged in the store, where its content ' +
      '8a6081630438148b463a507e7def519a132d40dfb70677913271fe9085793447 should be; register it again.',
  ),
  worker_lost: plain(
    'The worker that computed this request ended unexpectedly. Another one has taken its place.',
    'Send the request again: computing changes nothing, so that is safe.',
    'The worker ended before the request was done.',
  ),
  over_capacity: plain(
    'As many requests as the service admits are waiting or running already, or the machine has no memory left for another.',
    'Wait as long as Retry-After says, then send the request again.',
    'The service is working on 256 requests, as many as it takes at a time.',
  ),
  stopping: plain(
    'The service is stopping and takes no new work.',
    'Send the request again; another instance, or this one restarted, will answer.',
    'The service is stopping and takes no new requests.',
  ),
  store_unavailable: plain(
    'The store in which layers are kept did not answer.',
    'Wait as long as Retry-After says, then send the request again.',
    'The store of the layers cannot be used at the moment.',
  ),
  deadline_exceeded: plain(
    'The deadline passed before the result was there: the one of X-Deadline-Ms, or the longest that is allowed.',
    'Allow more time, or ask for less.',
    'The request was not done within 50 ms.',
  ),
  insufficient_storage: plain(
    'There is no room left for another layer. What was registered before is untouched.',
    'Delete layers, or give the service more room.',
    'The store of the layers is full; nothing was changed.',
  ),
};
