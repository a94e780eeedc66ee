/**
 * Messages of the worker protocol as bytes, with the values that they mean: the tests' own in
 * `test/vectors`, written after docs/worker-protocol.md, and those in `../shared/vectors`.
 */
import { readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import type { WireDialect } from '../../src/worker/wire/messages.ts'
import { shared, sharedPath } from './shared.ts'

const FOLDER = path.resolve('test/vectors')

type Pair = readonly [string, string]

export type VectorValue =
  | { readonly type: 'bytes'; readonly hex: string }
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'json'; readonly json: unknown }

interface DecodedLoad {
  readonly command: 'L'
  readonly modelName: string
  readonly modelPath: string
  readonly batchSize: number
  readonly handler: string
  /** Null for the CPU. */
  readonly gpu: number | null
  readonly ioFileDescriptor?: string
  readonly envelope?: string
  readonly limitMaxImagePixels?: boolean
}

interface DecodedPredict {
  readonly command: 'I'
  readonly requests: readonly {
    readonly requestId: string
    readonly headers: readonly Pair[]
    readonly parameters: readonly {
      readonly name: string
      readonly contentType: string
      readonly value: VectorValue
    }[]
  }[]
}

interface DecodedReply {
  readonly code: number
  readonly message: string
  readonly predictions: readonly {
    readonly requestId: string
    readonly contentType: string
    readonly statusCode: number
    readonly reasonPhrase: string
    readonly headers: readonly Pair[]
    readonly bodyHex: string
  }[]
}

export type Decoded =
  | DecodedLoad
  | DecodedPredict
  | DecodedReply
  | { readonly error: { readonly type: string } }

export interface Vector {
  readonly name: string
  readonly kind: 'load' | 'predict' | 'load-response' | 'predict-response'
  readonly hex: string
  readonly decoded: Decoded
}

/** The tests' own; their `hex` is a list, one field or one entry of a list in each element. */
export function ownVectors(dialect: WireDialect): readonly Vector[] {
  const text = readFileSync(path.join(FOLDER, `${dialect}.json`), 'utf8')
  const vectors: readonly (Omit<Vector, 'hex'> & { hex: readonly string[] })[] = JSON.parse(text)
  return vectors.map((vector) => ({ ...vector, hex: hexOf(vector.hex.join('')) }))
}

/** The vectors in `../shared`; none where the folder is absent. */
export function sharedVectors(dialect: WireDialect): readonly Vector[] {
  if (shared === undefined) return []
  const folder = sharedPath('vectors', dialect)
  return readdirSync(folder)
    .filter((file) => file.endsWith('.json'))
    .map((file) => JSON.parse(readFileSync(`${folder}/${file}`, 'utf8')))
}

function hexOf(text: string): string {
  return text.replaceAll(' ', '')
}

/** Sound messages that no encoder sends, and as what they are sent again. */
export const NOT_CANONICAL: readonly (readonly [what: string, hex: string, again: string])[] = [
  [
    'batch size 0 and every negative device: 1, and the CPU',
    hexOf('4c 00000000 00000000 00000000 00000000 fffffffe 00000000'),
    hexOf('4c 00000000 00000000 00000001 00000000 ffffffff 00000000'),
  ],
  [
    'a negative length that ends no list: an empty text',
    hexOf('49 fffffff9 ffffffff fffffffe 00000000 00000001 76 ffffffff ffffffff'),
    hexOf('49 00000000 ffffffff 00000000 00000000 00000001 76 ffffffff ffffffff'),
  ],
]

/** Messages that break the protocol in their first bytes, and whether they are requests. */
export const BROKEN_MESSAGES: readonly (readonly [what: string, hex: string, isReply: boolean])[] =
  [
    ['an unknown command', '55', false],
    ['a lower-case command', '6c', false],
    ['a zero byte', '00', false],
    ['the length of a name above the limit', hexOf('4c 7fffffff 61'), false],
    ['the length of a request id above the limit', hexOf('49 00100001 61'), false],
    [
      'the length of a value above the limit',
      hexOf('49 00000001 72 ffffffff 00000001 61 00000000 7fffffff'),
      false,
    ],
    [
      'a name that is not UTF-8',
      hexOf('49 00000001 72 ffffffff 00000001 ff 00000000 00000000 ffffffff ffffffff'),
      false,
    ],
    ['the length of a message above the limit', hexOf('000000c8 7fffffff 61'), true],
    ['a negative length of a message', hexOf('000000c8 fffffffe ffffffff'), true],
    [
      'a negative number of headers',
      hexOf('000000c8 00000000 00000001 72 00000000 000000c8 00000000 ffffffff'),
      true,
    ],
    [
      'too many headers',
      hexOf('000000c8 00000000 00000001 72 00000000 000000c8 00000000 00010001'),
      true,
    ],
  ]
