/**
 * The parts of `@huggingface/tokenizers` that are used, with types: those of the package have
 * import paths that TypeScript does not resolve for Node.
 */
import * as everything from '@huggingface/tokenizers'

interface Library {
  readonly BPE: new (config: object) => { bpe(word: string): readonly string[] }
  readonly WordPiece: new (config: object) => { encode(words: string[]): readonly string[] }
  /** Its instances are functions. */
  readonly Unigram: new (
    config: object,
    endToken: string,
  ) => (words: readonly string[]) => readonly string[]
  readonly SplitPreTokenizer: new (config: object) => { readonly pattern: RegExp | null }
  readonly SequenceDecoder: new (config: object) => { decode(tokens: string[]): string }
}

const library = everything as unknown as Library

export const { BPE, WordPiece, Unigram, SplitPreTokenizer, SequenceDecoder } = library
