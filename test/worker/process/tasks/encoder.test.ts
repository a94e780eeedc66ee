import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Tokenizer as RustTokenizer } from 'tokenizers'
import { Encoder } from '../../../../src/worker/process/tasks/encoder.ts'
import { Tokenizer } from '../../../../src/worker/process/tasks/tokenizer/tokenizer.ts'
import { TEXTS } from '../../../helpers/texts.ts'
import { byteLevelFile, wordPieceFile } from '../../../helpers/tokenizer-files.ts'

test('texts and pairs have the special tokens, types and lengths of the Rust tokenizers', async () => {
  const texts = TEXTS.slice(0, 30)
  // Even numbers without special tokens: versions differ in who gets the odd token of a pair.
  const cases = [
    { file: wordPieceFile(texts), limits: [1000, 21, 13] },
    { file: byteLevelFile(texts), limits: [1000, 20, 12] },
  ]
  for (const { file, limits } of cases) {
    for (const maxTokens of limits) {
      const encoder = new Encoder(new Tokenizer(file), [], { maxTokens, padId: 0 })
      for (const direction of ['Right', 'Left']) {
        const cutsLeft = direction === 'Left'
        const truncation = { direction, max_length: maxTokens, strategy: 'LongestFirst', stride: 0 }
        const oracle = RustTokenizer.fromString(JSON.stringify({ ...file, truncation }))
        for (const [index, text] of TEXTS.entries()) {
          const pair = TEXTS[(index * 7 + 3) % TEXTS.length] ?? ''
          for (const second of [undefined, pair]) {
            const expected = await oracle.encode(text, second)
            const input = second === undefined ? { text } : { text, pair: second }
            const { ids, types } = encoder.encode(input, 'longest', cutsLeft)
            const shown = JSON.stringify([maxTokens, direction, text, second])
            assert.deepEqual(ids, expected.getIds(), shown)
            assert.deepEqual(types, expected.getTypeIds(), shown)
          }
        }
      }
    }
  }
})
