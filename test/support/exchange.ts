import { type ClientRequest, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Record<string, unknown>;
}

/** Posts JSON and reads the JSON that comes back. */
export function postJson(
  url: string,
  path: string,
  body: object,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const exchange = openPost(url, path, { 'content-type': 'application/json', ...headers });
  const answer = answerOf(exchange);
  exchange.end(JSON.stringify(body));
  return answer;
}

/** A POST whose body is still to be written. */
export function openPost(url: string, path: string, headers: Record<string, string>): ClientRequest {
  return request(new URL(path, url), { method: 'POST', headers });
}

/** The answer, also where it comes before the request was sent and the rest of the request meets a closed door. */
export function answerOf(exchange: ClientRequest): Promise<Answer> {
  return new Promise((resolve, reject) => {
    exchange.on('error', reject);
    exchange.on('response', (response) => {
      exchange.off('error', reject).on('error', () => {});
      readAnswer(response).then(resolve, reject);
    });
  });
}

async function readAnswer(response: IncomingMessage): Promise<Answer> {
  const body = JSON.parse(await text(response)) as Record<string, unknown>;
  return { status: response.statusCode!, headers: response.headers, body };
}

/** Sends that many spaces, as fast as they are taken. */
export function sendSpaces(exchange: ClientRequest, bytes: number): void {
  const chunk = Buffer.alloc(2 ** 18, ' ');
  const whole = Math.floor(bytes / chunk.length);
  const chunks = [...Array<Buffer>(whole).fill(chunk), chunk.subarray(0, bytes - whole * chunk.length)];
  Readable.from(chunks).pipe(exchange);
}
