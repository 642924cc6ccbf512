import { Problem } from '../domain/problem.ts';
import { cut } from '../domain/quoted.ts';
import { remembering } from '../domain/remembering.ts';
import type { WireFormat } from './format.ts';
import { json } from './json/format.ts';
import { kserve } from './kserve/format.ts';
import { negotiate, parseMediaType } from './media-type.ts';
import { npy } from './npy.ts';
import { safetensors } from './safetensors/format.ts';

/** Every format, the preferred one first. A new format is one row here and its own file. */
export const FORMATS = [json, safetensors, npy, kserve] as const satisfies readonly WireFormat[];

type With<Capability extends 'decode' | 'encode'> = WireFormat &
  Required<Pick<WireFormat, Capability>> & { readonly mediaType: string };
export type Decoder = With<'decode'>;
export type Encoder = With<'encode'>;

const ALL: readonly WireFormat[] = FORMATS;

/** Formats of request bodies that Content-Type may name. */
export const DECODERS = ALL.filter(
  (format): format is Decoder => format.mediaType !== null && format.decode !== undefined,
);
/** Formats of responses that Accept may name. */
export const ENCODERS = ALL.filter(
  (format): format is Encoder => format.mediaType !== null && format.encode !== undefined,
);

/** The format of this name, as given to another thread. */
export function formatNamed(name: string): WireFormat {
  const format = ALL.find((candidate) => candidate.name === name);
  if (format === undefined) throw new Error(`There is no wire format ${name}`);
  return format;
}

/** How the format of this name reads. Throws where there is none or it does not read. */
export function decoderNamed(name: string): NonNullable<WireFormat['decode']> {
  const { decode } = formatNamed(name);
  if (decode === undefined) throw new TypeError(`The format ${name} does not read.`);
  return decode;
}

/** How the format of this name writes. Throws where there is none or it does not write. */
export function encoderNamed(name: string): NonNullable<WireFormat['encode']> {
  const { encode } = formatNamed(name);
  if (encode === undefined) throw new TypeError(`The format ${name} does not write.`);
  return encode;
}

/**
 * The format that reads a body of this Content-Type, among `decoders`: all that there are, or those that a
 * route takes. Throws `unsupported_media_type` (415).
 */
export function formatForContentType(
  contentType: string | undefined,
  decoders: readonly Decoder[] = DECODERS,
): Decoder {
  const mediaType = contentType === undefined ? undefined : parseMediaType(contentType.trim());
  const format = decoders.find((candidate) => candidate.mediaType === mediaType?.essence);
  const supported = decoders.map((candidate) => candidate.mediaType).join(', ');
  if (format === undefined) {
    const got = contentType === undefined ? 'no Content-Type' : `Content-Type ${cut(contentType)}`;
    throw new Problem('unsupported_media_type', `Expected a body of ${supported}; got ${got}.`);
  }
  const charset = mediaType?.parameters.get('charset');
  if (charset !== undefined && !/^utf-?8$/i.test(charset)) {
    const detail = `Expected ${format.mediaType} in UTF-8; got charset ${cut(charset)}.`;
    throw new Problem('unsupported_media_type', detail);
  }
  return format;
}

/**
 * The format for the response by the Accept header, among `encoders`: all that there are, or those that a
 * route offers. Throws `not_acceptable` (406).
 */
export function formatForAccept(
  accept: string | undefined,
  encoders: readonly Encoder[] = ENCODERS,
): Encoder {
  const isAmongAll = accept !== undefined && encoders === ENCODERS;
  const format = isAmongAll ? bestOfAll(accept) : bestFor(accept, encoders);
  if (format === undefined) {
    const offered = encoders.map(({ mediaType }) => mediaType).join(', ');
    const detail = `Expected Accept to allow one of ${offered}; got ${cut(String(accept))}.`;
    throw new Problem('not_acceptable', detail);
  }
  return format;
}

function bestFor(accept: string | undefined, encoders: readonly Encoder[]): Encoder | undefined {
  const best = negotiate(
    accept,
    encoders.map(({ mediaType }) => mediaType),
  );
  return encoders.find(({ mediaType }) => mediaType === best);
}

const bestOfAll = remembering((accept) => bestFor(accept, ENCODERS));
