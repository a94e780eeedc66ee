import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Tokenizer as RustTokenizer } from 'tokenizers'
import { Tokenizer } from '../../../../src/worker/process/tasks/tokenizer/tokenizer.ts'
import { TEXTS } from '../../../helpers/texts.ts'
import { byteLevelFile, unigramFile, wordPieceFile } from '../../../helpers/tokenizer-files.ts'
import type { TokenizerFile } from '../../../helpers/tokenizer-files.ts'

const LLAMA3 = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
const BYTES = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false }

const FILES: Readonly<Record<string, () => TokenizerFile>> = {
  'WordPiece, uncased': () => wordPieceFile(TEXTS),
  'WordPiece, cased': () => wordPieceFile(TEXTS, { lowercase: false }),
  'WordPiece, cased without accents': () =>
    wordPieceFile(TEXTS, { lowercase: false, strip_accents: true, handle_chinese_chars: false }),
  'WordPiece with words of Whitespace': () =>
    wordPieceFile(TEXTS, {}, { normalizer: null, preTokenizer: { type: 'Whitespace' } }),
  'WordPiece with punctuation and digits': () =>
    wordPieceFile(
      TEXTS,
      {},
      {
        normalizer: { type: 'Sequence', normalizers: [{ type: 'NFKD' }, { type: 'StripAccents' }] },
        preTokenizer: {
          type: 'Sequence',
          pretokenizers: [
            { type: 'WhitespaceSplit' },
            { type: 'Punctuation', behavior: 'MergedWithPrevious' },
            { type: 'Digits', individual_digits: true },
          ],
        },
      },
    ),
  'byte-level BPE': () => byteLevelFile(TEXTS),
  'byte-level BPE with a prefix space': () =>
    byteLevelFile(
      TEXTS,
      {},
      {
        normalizer: { type: 'NFC' },
        preTokenizer: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true },
        postProcessor: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true },
      },
    ),
  'byte-level BPE with the expression of Llama 3': () =>
    byteLevelFile(
      TEXTS,
      { ignore_merges: true },
      {
        preTokenizer: {
          type: 'Sequence',
          pretokenizers: [
            { type: 'Split', pattern: { Regex: LLAMA3 }, behavior: 'Isolated', invert: false },
            BYTES,
          ],
        },
        postProcessor: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: false },
      },
    ),
  'Unigram with Metaspace': () => unigramFile(TEXTS),
  'Unigram, NFKC, first prefix, not split': () =>
    unigramFile(
      TEXTS,
      { prepend_scheme: 'first', split: false },
      {
        normalizer: {
          type: 'Sequence',
          normalizers: [
            { type: 'NFKC' },
            { type: 'Lowercase' },
            { type: 'Replace', pattern: { Regex: ' {2,}' }, content: ' ' },
            { type: 'Strip', strip_left: true, strip_right: true },
          ],
        },
      },
    ),
  'Unigram with Prepend and Replace': () =>
    unigramFile(
      TEXTS,
      {},
      {
        preTokenizer: null,
        normalizer: {
          type: 'Sequence',
          normalizers: [
            { type: 'Prepend', prepend: '▁' },
            { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
          ],
        },
      },
    ),
}

for (const [name, file] of Object.entries(FILES)) {
  test(`${name}: ids and offsets of each token are those of the Rust tokenizers`, async () => {
    const content = file()
    const oracle = RustTokenizer.fromString(JSON.stringify(content))
    const own = new Tokenizer(content)
    assert.ok(TEXTS.length >= 200, 'enough texts')
    for (const text of TEXTS) {
      const expected = await oracle.encode(text, null, { addSpecialTokens: false })
      const { ids, starts, ends } = own.encode(text)
      assert.deepEqual(ids, expected.getIds(), `ids of ${JSON.stringify(text)}`)
      assert.deepEqual(
        starts.map((start, index) => [start, ends[index]]),
        expected.getOffsets(),
        `offsets of ${JSON.stringify(text)}`,
      )
    }
  })
}
