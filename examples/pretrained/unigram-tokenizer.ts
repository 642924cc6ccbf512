import { requirePackage } from './optional-package.ts';

/** A vocabulary entry: the piece of text and its log-probability. */
export type Piece = readonly [piece: string, logProbability: number];

/** Tokens of a text: what they cover and their rows in the embedding table. */
export interface Encoding {
  readonly tokens: readonly string[];
  readonly ids: readonly number[];
}

export type Tokenizer = (text: string) => Encoding;

/** What is used of the library; declared here, since an optional package may be absent when types are checked. */
interface TokenizersLibrary {
  readonly Tokenizer: new (definition: object, config: object) => { encode(text: string): Encoding };
}

const LIBRARY = '@huggingface/tokenizers';

/**
 * A SentencePiece unigram tokenizer (Kudo 2018, arXiv 1804.10959): the split of highest probability. Case is
 * kept, spaces at both ends are not, and neither a first nor a last token is added. Throws MissingPackage.
 *
 * @param vocabulary pieces by id; id 0 stands for what no piece covers
 * @param reserved how many ids at the start are not text
 */
export function unigramTokenizer(vocabulary: readonly Piece[], reserved: number): Tokenizer {
  const { Tokenizer } = requirePackage(LIBRARY) as TokenizersLibrary;
  const tokenizer = new Tokenizer(tokenizerDefinition(vocabulary, reserved), {});
  return (text) => tokenizer.encode(text.trim());
}

/** The `tokenizer.json` that the library reads. */
function tokenizerDefinition(vocabulary: readonly Piece[], reserved: number): object {
  return {
    version: '1.0',
    added_tokens: [],
    normalizer: { type: 'NFKC' },
    pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: false },
    post_processor: null,
    decoder: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: false },
    model: { type: 'Unigram', unk_id: 0, vocab: vocabulary.map(outOfReach(reserved)) },
  };
}

/**
 * A reserved piece such as `<s>` must not be found in a text that happens to spell it. No space is left in
 * what the model is given, so a piece with a space in it is never found.
 */
function outOfReach(reserved: number): (piece: Piece, id: number) => Piece {
  return (piece, id) => (id < reserved ? [`reserved ${id}`, piece[1]] : piece);
}
