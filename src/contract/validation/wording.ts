import { quoted } from '../../domain/quoted.ts';

/** The part of JSON Schema that our schemas use and that messages speak of. */
export interface SchemaNode {
  readonly $ref?: string;
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly SchemaNode[];
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly items?: SchemaNode;
  readonly minimum?: number;
  readonly exclusiveMinimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
}

const TENSOR_WORDS: Readonly<Record<string, string>> = {
  Tensor: 'a tensor of numbers',
  IndexTensor: 'a tensor of integers',
  BoolTensor: 'a tensor of true and false',
};

/** What a schema takes, in words: `an integer >= 1`, `"half" or "interleaved"`. */
export function wordSchema(schema: SchemaNode, named: ReadonlyMap<string, SchemaNode>): string {
  if (schema.$ref !== undefined) {
    const target = named.get(schema.$ref);
    return TENSOR_WORDS[schema.$ref] ?? (target === undefined ? schema.$ref : wordSchema(target, named));
  }
  if (schema.anyOf !== undefined) return listWords(schema.anyOf.map((option) => wordSchema(option, named)));
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum !== undefined) return listWords(schema.enum.map((value) => JSON.stringify(value)));
  switch (schema.type) {
    case 'integer':
      return `an integer${wordBounds(schema)}`;
    case 'number':
      return `a number${wordBounds(schema)}`;
    case 'boolean':
      return 'true or false';
    case 'null':
      return 'null';
    case 'string':
      return wordText(schema);
    case 'array':
      return wordArray(schema);
    default:
      return wordObject(schema);
  }
}

function wordBounds({ minimum, exclusiveMinimum, maximum }: SchemaNode): string {
  const low = minimum === undefined ? exclusiveMinimum : minimum;
  const lowWords = low === undefined ? '' : ` ${minimum === undefined ? '>' : '>='} ${low}`;
  return maximum === undefined ? lowWords : `${lowWords}${lowWords && ' and'} <= ${maximum}`;
}

function wordText({ pattern, minLength, maxLength }: SchemaNode): string {
  if (pattern !== undefined) return `a text that matches ${pattern}`;
  if (maxLength !== undefined) return `a text of ${minLength ?? 0} to ${maxLength} characters`;
  return minLength === undefined ? 'a text' : 'a text that is not empty';
}

function wordArray({ minItems = 0, maxItems, items }: SchemaNode): string {
  const of = items?.type === 'integer' ? ` of integers${wordBounds(items)}` : '';
  if (maxItems !== undefined) return `an array${of} with ${minItems} to ${maxItems} entries`;
  return minItems === 0 ? `an array${of}` : `an array${of} with at least ${minItems} entries`;
}

function wordObject({ properties }: SchemaNode): string {
  const names = Object.keys(properties ?? {});
  return names.length === 0 || names.length > 6 ? 'an object' : `an object with ${listWords(names)}`;
}

/** What came, in words, cut short: `"2" (a string)`, `an array of 3`. */
export function wordValue(value: unknown): string {
  if (typeof value === 'string') {
    return `${quoted(value)} (a string)`;
  }
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value !== 'object' || value === null) return String(value);
  return 'data' in value && ArrayBuffer.isView(value.data) ? 'a tensor' : 'an object';
}

/** `a`, `a or b`, `a, b or c`. */
export function listWords(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}
