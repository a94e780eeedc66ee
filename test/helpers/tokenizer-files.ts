/** Small `tokenizer.json` files of the tests' own, each with a vocabulary made from texts. */

/** The content of a `tokenizer.json`. */
export type TokenizerFile = Readonly<Record<string, unknown>>

interface Parts {
  readonly normalizer?: object | null
  readonly preTokenizer?: object | null
  readonly postProcessor?: object | null
  readonly decoder?: object | null
}

function fileOf(
  model: object,
  special: Readonly<Record<string, number>>,
  parts: Parts,
): TokenizerFile {
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: Object.entries(special).map(([content, id]) => ({
      id,
      content,
      single_word: false,
      lstrip: content === '<mask>',
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: parts.normalizer ?? null,
    pre_tokenizer: parts.preTokenizer ?? null,
    post_processor: parts.postProcessor ?? null,
    decoder: parts.decoder ?? null,
    model,
  }
}

function numbered(tokens: Iterable<string>): Record<string, number> {
  return Object.fromEntries([...new Set(tokens)].map((token, index) => [token, index]))
}

const BERT_TOKENS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']

/** A tokenizer like that of BERT. Its vocabulary has all characters of `texts`, and some words. */
export function wordPieceFile(
  texts: readonly string[],
  bert: Readonly<Record<string, unknown>> = {},
  parts: Parts = {},
): TokenizerFile {
  const lower = texts.map((text) =>
    text
      .normalize('NFD')
      .toLowerCase()
      .replaceAll(/\p{Mn}/gu, ''),
  )
  const all = [...lower, ...texts]
  // Not all characters: some words must be unknown.
  const chars = all.flatMap((text) => Array.from(text)).filter((_, index) => index % 53 !== 0)
  const words = all.flatMap((text) => text.split(/[\s\p{P}]+/u)).filter((word) => word.length > 1)
  const vocab = numbered([
    ...BERT_TOKENS,
    ...chars,
    ...chars.map((char) => `##${char}`),
    ...words.filter((_, index) => index % 3 === 0),
    ...words.map((word) => `##${Array.from(word).slice(-2).join('')}`),
  ])
  return fileOf(
    {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab,
    },
    Object.fromEntries(BERT_TOKENS.map((token, index) => [token, index])),
    {
      normalizer: {
        type: 'BertNormalizer',
        clean_text: true,
        handle_chinese_chars: true,
        strip_accents: null,
        lowercase: true,
        ...bert,
      },
      preTokenizer: { type: 'BertPreTokenizer' },
      postProcessor: bertTemplate(vocab),
      decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
      ...parts,
    },
  )
}

function bertTemplate(vocab: Readonly<Record<string, number>>): object {
  const token = (id: string, type: number): object => ({ SpecialToken: { id, type_id: type } })
  const text = (id: string, type: number): object => ({ Sequence: { id, type_id: type } })
  const single = [token('[CLS]', 0), text('A', 0), token('[SEP]', 0)]
  return {
    type: 'TemplateProcessing',
    single,
    pair: [...single, text('B', 1), token('[SEP]', 1)],
    special_tokens: Object.fromEntries(
      ['[CLS]', '[SEP]'].map((id) => [id, { id, ids: [vocab[id]], tokens: [id] }]),
    ),
  }
}

const ROBERTA_TOKENS = ['<s>', '<pad>', '</s>', '<unk>', '<mask>']

/** A byte-level BPE tokenizer like that of RoBERTa or GPT-2. */
export function byteLevelFile(
  texts: readonly string[],
  options: Readonly<Record<string, unknown>> = {},
  parts: Parts = {},
): TokenizerFile {
  const words = texts.slice(0, 15).flatMap((text) => text.match(/ ?\S+/g) ?? [])
  const bytes = Array.from({ length: 256 }, (_, byte) => byteChar(byte))
  const merges = learnMerges(
    words.map((word) => Array.from(Buffer.from(word), (byte) => byteChar(byte))),
    80,
  )
  const vocab = numbered([...ROBERTA_TOKENS, ...bytes, ...merges.map((pair) => pair.join(''))])
  return fileOf(
    {
      type: 'BPE',
      vocab,
      merges: merges.map((pair) => pair.join(' ')),
      unk_token: null,
      ...options,
    },
    Object.fromEntries(ROBERTA_TOKENS.map((token, index) => [token, index])),
    {
      preTokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true },
      postProcessor: {
        type: 'RobertaProcessing',
        sep: ['</s>', 2],
        cls: ['<s>', 0],
        trim_offsets: true,
        add_prefix_space: false,
      },
      decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true },
      ...parts,
    },
  )
}

/** A Unigram tokenizer like those of SentencePiece. */
export function unigramFile(
  texts: readonly string[],
  metaspace: Readonly<Record<string, unknown>> = {},
  parts: Parts = {},
): TokenizerFile {
  const chars = new Set(texts.flatMap((text) => Array.from(text.replaceAll(' ', '▁'))))
  const words = texts.flatMap((text) => text.split(/\s+/)).filter((word) => word !== '')
  const pieces = new Set([
    ...[...chars].filter((_, index) => index % 29 !== 0),
    ...words.flatMap((word, index) => [
      `▁${Array.from(word).slice(0, 3).join('')}`,
      ...(index % 2 === 0 ? [Array.from(word).slice(1, 4).join('')] : []),
      ...(index % 3 === 0 ? [`▁${word}`] : []),
    ]),
  ])
  const tokens = [...ROBERTA_TOKENS, ...[...pieces].filter((piece) => piece !== '')]
  // Scores that never tie, so that one split is the best.
  const vocab = tokens.map((token, index) => [
    token,
    index < 5 ? 0 : -8 + Math.sqrt(Array.from(token).length) - index * 1.37e-4,
  ])
  return fileOf(
    { type: 'Unigram', unk_id: 3, vocab, byte_fallback: false },
    Object.fromEntries(ROBERTA_TOKENS.map((token, index) => [token, index])),
    {
      preTokenizer: {
        type: 'Metaspace',
        replacement: '▁',
        prepend_scheme: 'always',
        split: true,
        ...metaspace,
      },
      decoder: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
      ...parts,
    },
  )
}

function byteChar(byte: number): string {
  const isPrintable = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173)
  if (isPrintable) return String.fromCodePoint(byte)
  const before = byte <= 32 ? byte : byte <= 160 ? byte - 127 + 33 : 67
  return String.fromCodePoint(256 + before)
}

/** The pairs that a BPE merges, the most frequent first. */
function learnMerges(words: readonly (readonly string[])[], count: number): [string, string][] {
  let symbols = words
  const merges: [string, string][] = []
  for (let turn = 0; turn < count; turn++) {
    const counts = new Map<string, { pair: [string, string]; times: number }>()
    for (const word of symbols) {
      for (const [index, right] of word.entries()) {
        const left = word[index - 1]
        if (left === undefined) continue
        const key = `${left} ${right}`
        const entry = counts.get(key) ?? { pair: [left, right], times: 0 }
        entry.times += 1
        counts.set(key, entry)
      }
    }
    const [best] = [...counts.values()].toSorted((one, other) => other.times - one.times)
    if (best === undefined || best.times < 2) break
    const [left, right] = best.pair
    merges.push([left, right])
    symbols = symbols.map((word) => mergePair(word, left, right))
  }
  return merges
}

function mergePair(word: readonly string[], left: string, right: string): readonly string[] {
  const merged: string[] = []
  for (const symbol of word) {
    if (symbol === right && merged.at(-1) === left) merged[merged.length - 1] = left + right
    else merged.push(symbol)
  }
  return merged
}
