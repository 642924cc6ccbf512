import { validateHeaderName, validateHeaderValue } from 'node:http';
import { setTimeout } from 'node:timers/promises';
import { type Dispatcher, errors, Pool } from 'undici';
import type { ProblemBody } from '../contract/schemas/problem.ts';
import { REQUEST_ID } from '../domain/request-id.ts';
import { unlessAborted } from '../domain/unless-aborted.ts';
import { parseMediaType } from '../wire/media-type.ts';
import { CallEnd, LONGEST_TIMER_MS } from './call-end.ts';
import {
  AttentionApiError,
  AttentionConnectionError,
  AttentionDeadlineError,
  AttentionError,
  AttentionResponseError,
  beginningOf,
} from './errors.ts';
import { JSON_TYPE, SAFETENSORS } from './media-types.ts';
import { packBody } from './pack.ts';
import { type Marks, readJson } from './read-json.ts';
import { isRepeatable, pauseBefore, type Repeat, type RetryPolicy, readRetryAfter } from './retry.ts';
import { unpackAnswer } from './unpack.ts';

/** How one call is made. */
export interface CallOptions {
  /** Gives the call up. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds from now after which the result is of no use; the service is told, and stops then. */
  readonly deadlineMs?: number | undefined;
  /** Names the request in the log of the service: up to 64 letters, digits, `_` and `-`. */
  readonly requestId?: string | undefined;
}

export interface Outgoing {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly path: string;
  /** Media type that the answer has to have. */
  readonly accept: string;
  readonly contentType?: string;
  readonly body?: Uint8Array;
  /** Entity tags in quotes, or `*`. */
  readonly ifMatch?: string | undefined;
  readonly ifNoneMatch?: string | undefined;
  readonly repeat: Repeat;
  /** Is waited for before the request is sent the first time, however it ends. */
  readonly after?: Promise<unknown> | undefined;
  /** Statuses besides those of success that are answers and not errors. */
  readonly alsoGood?: readonly number[];
  /** Statuses that are answers to a repetition: what it asks for was done the first time. */
  readonly doneBefore?: readonly number[];
}

export interface TransportOptions extends RetryPolicy {
  readonly connections: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly deadlineMs: number | undefined;
}

/** Sends requests over connections that are kept, and repeats what may be repeated. */
export class Transport {
  readonly #pool: Pool;
  readonly #prefix: string;
  readonly #options: TransportOptions;
  #closed: Promise<void> | undefined;

  /** Throws a TypeError where the address is none, or a header is one that HTTP does not have. */
  constructor(baseUrl: string | URL, options: TransportOptions) {
    const { origin, pathname } = new URL(baseUrl);
    for (const [name, value] of Object.entries(options.headers)) {
      validateHeaderName(name);
      validateHeaderValue(name, value);
    }
    this.#pool = new Pool(origin, { connections: options.connections });
    this.#prefix = pathname.replace(/\/+$/, '');
    this.#options = options;
  }

  /** The bytes of the answer. Throws an AttentionError; a TypeError or RangeError where it is the call that is wrong. */
  async send(request: Outgoing, options: CallOptions): Promise<ArrayBuffer> {
    checkRequestId(options.requestId);
    const end = new CallEnd(options.deadlineMs ?? this.#options.deadlineMs, options.signal);
    try {
      if (request.after !== undefined)
        await unlessAborted(
          request.after.catch(() => {}),
          end.signal,
        );
      for (let repetition = 0; ; repetition++) {
        try {
          return await this.#exchange(request, options, end);
        } catch (error) {
          if (repetition > 0 && isDoneBefore(request, error)) return new ArrayBuffer(0);
          if (repetition >= this.#options.retries || !isRepeatable(error, request.repeat)) throw error;
          const pauseMs = pauseBefore(repetition, error, this.#options);
          // What the service said is worth more than a deadline that has passed in waiting.
          if (pauseMs >= end.leftMs || pauseMs > LONGEST_TIMER_MS) throw error;
          await setTimeout(pauseMs, undefined, { signal: end.signal });
        }
      }
    } catch (error) {
      throw end.error(error) ?? deadlineOf(error) ?? error;
    } finally {
      end.settle();
    }
  }

  /** An answer of JSON, an object with these marks. Throws as `send` does. */
  async sendForJson<Result extends object>(
    request: Omit<Outgoing, 'accept'>,
    marks: Marks<Result>,
    options: CallOptions = {},
  ): Promise<Result> {
    return readJson(await this.send({ ...request, accept: JSON_TYPE }, options), marks);
  }

  /**
   * A body whose tensors travel as bytes, and an answer whose tensors do: sent twice, it is computed twice. Throws as
   * `send` does.
   */
  async compute<Result>(
    path: string,
    body: object,
    options: CallOptions = {},
    after?: Promise<unknown>,
  ): Promise<Result> {
    const { contentType, bytes } = packBody(body);
    const answer = await this.send(
      {
        method: 'POST',
        path,
        accept: SAFETENSORS,
        contentType,
        body: bytes,
        repeat: 'passing',
        after,
      },
      options,
    );
    return unpackAnswer(answer) as Result;
  }

  /** Lets the calls that are under way finish, and takes no more. */
  close(): Promise<void> {
    this.#closed ??= this.#pool.close();
    return this.#closed;
  }

  async #exchange(request: Outgoing, { requestId }: CallOptions, end: CallEnd): Promise<ArrayBuffer> {
    end.signal.throwIfAborted();
    const { leftMs } = end;
    const hasDeadline = Number.isFinite(leftMs);
    const headers = {
      ...this.#options.headers,
      accept: request.accept,
      ...(request.contentType === undefined ? {} : { 'content-type': request.contentType }),
      ...(request.ifMatch === undefined ? {} : { 'if-match': request.ifMatch }),
      ...(request.ifNoneMatch === undefined ? {} : { 'if-none-match': request.ifNoneMatch }),
      ...(requestId === undefined ? {} : { 'x-request-id': requestId }),
      ...(hasDeadline ? { 'x-deadline-ms': String(Math.max(1, Math.ceil(leftMs))) } : {}),
    };
    const { method, path, body = null } = request;
    try {
      const response = await this.#pool.request({
        method,
        path: this.#prefix + path,
        headers,
        body,
        signal: end.signal,
        // The deadline ends what takes too long, wherever it is.
        ...(hasDeadline ? { headersTimeout: 0, bodyTimeout: 0 } : {}),
      });
      return await readAnswer(request, response);
    } catch (error) {
      if (error instanceof AttentionError) throw error;
      if (isClosed(error)) throw new TypeError('The client is closed.', { cause: error });
      if (isMisuse(error)) throw new TypeError(`${method} ${path}: ${error.message}`, { cause: error });
      const reason = error instanceof Error ? error.message || Reflect.get(error, 'code') : error;
      throw new AttentionConnectionError(`${method} ${path}: ${reason}`, { cause: error });
    }
  }
}

function isDoneBefore({ doneBefore = [] }: Outgoing, error: unknown): boolean {
  return error instanceof AttentionApiError && error.code !== null && doneBefore.includes(error.status);
}

async function readAnswer(request: Outgoing, response: Dispatcher.ResponseData): Promise<ArrayBuffer> {
  const { method, path, accept, alsoGood = [] } = request;
  const { statusCode: status, headers, body } = response;
  const type = parseMediaType(headerOf(headers, 'content-type') ?? '')?.essence;
  const isSuccess = status === 200 || status === 201;
  if ((isSuccess || alsoGood.includes(status)) && type === accept) return body.arrayBuffer();
  if (status === 204 && method === 'DELETE') return body.arrayBuffer();
  const text = await body.text();
  if (isSuccess) {
    const got = `${type ?? 'no Content-Type'}: ${beginningOf(text)}`;
    throw new AttentionResponseError(`${method} ${path}: expected ${accept}; got ${got}`);
  }
  throw new AttentionApiError({
    status,
    ...(type === 'application/problem+json' ? { problem: parseProblem(text) } : { text: beginningOf(text) }),
    requestId: headerOf(headers, 'x-request-id'),
    retryAfter: readRetryAfter(headerOf(headers, 'retry-after'), Date.now()),
  });
}

function isClosed(error: unknown): boolean {
  return error instanceof errors.ClientClosedError || error instanceof errors.ClientDestroyedError;
}

/** Whether undici refuses to send the request as it is; what it refuses so is a header. */
function isMisuse(error: unknown): error is Error {
  return (
    error instanceof errors.InvalidArgumentError ||
    error instanceof errors.NotSupportedError ||
    error instanceof errors.RequestContentLengthMismatchError
  );
}

function checkRequestId(requestId: string | undefined): void {
  if (requestId === undefined || REQUEST_ID.test(requestId)) return;
  const got = JSON.stringify(requestId);
  throw new RangeError(`requestId: expected 1 to 64 letters, digits, _ and -; got ${got}`);
}

/** Nothing where it is none after all, so that a gateway's idea of a problem is told as a status at least. */
function parseProblem(text: string): Partial<ProblemBody> {
  try {
    return { ...JSON.parse(text) };
  } catch {
    return {};
  }
}

function headerOf(headers: Dispatcher.ResponseData['headers'], name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** The service noticed the deadline before this side did. */
function deadlineOf(error: unknown): AttentionDeadlineError | undefined {
  if (!(error instanceof AttentionApiError && error.code === 'deadline_exceeded')) return undefined;
  return new AttentionDeadlineError(error.message, { cause: error });
}
