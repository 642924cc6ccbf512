import fc from 'fast-check';

/**
 * Random JSON documents as text: unlike `JSON.stringify`, with whitespace, escapes and members given twice.
 * Names are few, so that tensor fields, forbidden paths to them and repetitions all occur.
 */

const space = fc.stringMatching(/^[ \t\r\n]{0,2}$/);

const NAMES = [
  'query',
  'projections',
  'w_q',
  'rope',
  'positions',
  'allow_mask',
  'precision',
  'a',
  'é',
  'to"String',
];

/** A JSON string of this text, some of its characters as escapes. */
function escaped(text: string, escapes: readonly boolean[]): string {
  const units = text.split('').map((unit, index) => {
    if (escapes[index % escapes.length]) return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
    return unit;
  });
  // Characters that are not escaped here may need it; a surrogate must not be split.
  return escapes.includes(true) && /^[\x20-\x7e]*$/.test(text) && !/["\\]/.test(text)
    ? `"${units.join('')}"`
    : JSON.stringify(text);
}

function stringOf(text: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const escapes = fc.array(fc.boolean(), { minLength: 1, maxLength: 4 });
  return fc.tuple(text, escapes).map(([value, flags]) => escaped(value, flags));
}

export const numberText: fc.Arbitrary<string> = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true, min: -3e38, max: 3e38 }).map(String),
  fc
    .float({ noNaN: true, noDefaultInfinity: true })
    .map((value) => (Object.is(value, -0) ? '-0' : String(value))),
  fc.integer().map(String),
  fc
    .stringMatching(/^-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-2]?[0-9])?$/)
    .filter((text) => Number.isFinite(Math.fround(Number(text)))),
);

function listOf(items: readonly string[], spaces: readonly string[]): string {
  const [before, after] = spaces;
  return `[${before}${items.join(`${after},${before}`)}${after}]`;
}

function nested(element: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const size = fc.integer({ min: 0, max: 3 });
  return fc.array(size, { minLength: 1, maxLength: 4 }).chain((shape) => {
    const count = shape.reduce((product, length) => product * length, 1);
    const elements = fc.array(element, { minLength: count, maxLength: count });
    return fc.tuple(elements, fc.tuple(space, space)).map(([texts, spaces]) => {
      let next = 0;
      const build = (axis: number): string => {
        const items = Array.from({ length: shape[axis] }, () =>
          axis === shape.length - 1 ? texts[next++] : build(axis + 1),
        );
        return listOf(items, spaces);
      };
      return build(0);
    });
  });
}

/** What a field holds where it is a tensor. */
const TENSORS: Readonly<Record<string, fc.Arbitrary<string>>> = {
  query: nested(numberText),
  'projections.w_q': nested(numberText),
  'rope.positions': nested(fc.nat().map(String)),
  allow_mask: nested(fc.constantFrom('true', 'false')),
};

const scalar = fc.oneof(
  numberText,
  fc.constantFrom('null', 'true', 'false', '"float64"'),
  stringOf(fc.string({ unit: 'binary', maxLength: 8 })),
  stringOf(fc.string({ maxLength: 8 })),
);

function valueAt(path: string | undefined, depth: number): fc.Arbitrary<string> {
  if (path !== undefined && path in TENSORS) return TENSORS[path];
  if (depth === 0) return scalar;
  return fc.oneof(
    { maxDepth: 3 },
    scalar,
    objectAt(path, depth - 1),
    fc
      .tuple(fc.array(valueAt(undefined, depth - 1), { maxLength: 3 }), fc.tuple(space, space))
      .map(([items, spaces]) => listOf(items, spaces)),
  );
}

function objectAt(path: string | undefined, depth: number): fc.Arbitrary<string> {
  const member = fc.constantFrom(...NAMES).chain((name) => {
    const below = path === undefined ? undefined : path === '' ? name : `${path}.${name}`;
    return fc
      .tuple(stringOf(fc.constant(name)), valueAt(below, depth), space, space)
      .map(([key, value, before, after]) => `${before}${key}${after}:${before}${value}${after}`);
  });
  return fc
    .tuple(fc.array(member, { maxLength: 5 }), space)
    .map(([members, inner]) => (members.length === 0 ? `{${inner}}` : `{${members.join(',')}}`));
}

/** A JSON object that decodes: what stands at a tensor path is a tensor. */
export const document: fc.Arbitrary<string> = fc
  .tuple(objectAt('', 3), space)
  .map(([text, around]) => `${around}${text}${around}`);

/** The document with some of its bytes changed, taken out or doubled. */
export const damaged: fc.Arbitrary<Uint8Array> = fc
  .tuple(
    document,
    fc.array(
      fc.tuple(fc.nat(), fc.constantFrom('set', 'cut', 'double'), fc.oneof(fc.nat(255), interesting())),
      {
        minLength: 1,
        maxLength: 4,
      },
    ),
  )
  .map(([text, changes]) => {
    const bytes = [...Buffer.from(text)];
    for (const [place, change, byte] of changes) {
      const at = place % (bytes.length + 1);
      if (change === 'set') bytes[at] = byte;
      else if (change === 'cut') bytes.splice(at, 1 + (byte % 4));
      else bytes.splice(at, 0, ...bytes.slice(at, at + (byte % 8)));
    }
    return Uint8Array.from(bytes);
  });

function interesting(): fc.Arbitrary<number> {
  return fc.constantFrom(...Buffer.from('[]{}",:.-+0159eE\\u tfnNI\n='));
}
