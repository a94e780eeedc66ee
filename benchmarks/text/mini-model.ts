/**
 * Writes a folder for sentence embeddings: a BERT of the size of all-MiniLM-L6-v2 with random
 * weights. Its tokenizer has few words, so the table of their vectors is small.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { floats, integers, node, writeModel } from '../../test/helpers/onnx-builder.ts'
import type { Constant, NodeSource } from '../../test/helpers/onnx-builder.ts'
import { randomNumbers } from '../../test/helpers/random.ts'
import { WORDS, tinyTokenizer } from '../../test/helpers/text-models.ts'

const LAYERS = 6
const WIDTH = 384
const HEADS = 12
const INNER = 1536
const POSITIONS = 256
const ROWS = 200
/** `[CLS]` and `[SEP]`. */
const SPECIAL = 2

/** A text with a number of tokens, with the special tokens. */
export function textOf(tokens: number, start = 0): string {
  const words = WORDS.split(' ')
  return Array.from(
    { length: tokens - SPECIAL },
    (_, at) => words[(at + start) % words.length],
  ).join(' ')
}

/** Writes the folder and returns the path of its `.onnx` file. */
export function writeMiniModel(folder: string, settings: object): string {
  const files = {
    'config.json': { architectures: ['BertModel'], max_position_embeddings: POSITIONS },
    'tokenizer.json': tinyTokenizer(),
    'model.json': settings,
  }
  mkdirSync(folder, { recursive: true })
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(path.join(folder, name), JSON.stringify(content))
  }
  const random = randomNumbers(1)
  const constants: Record<string, Constant> = {
    types: weights(2, WIDTH),
    words: weights(ROWS, WIDTH),
    places: weights(POSITIONS, WIDTH),
    ones: floats([WIDTH], Array(WIDTH).fill(1)),
    zeros: floats([WIDTH], Array(WIDTH).fill(0)),
    one: floats([], [1]),
    far: floats([], [-10_000]),
    scale: floats([], [1 / Math.sqrt(WIDTH / HEADS)]),
    half: floats([], [0.5]),
    root: floats([], [Math.SQRT1_2]),
    axes: integers(1, 2),
    first: { type: 'INT64', shape: [], values: [0] },
    step: { type: 'INT64', shape: [], values: [1] },
    second: { type: 'INT64', shape: [], values: [1] },
    split: integers(0, 0, HEADS, WIDTH / HEADS),
    joined: integers(0, 0, WIDTH),
  }
  function weights(...shape: readonly number[]): Constant {
    const count = shape.reduce((product, size) => product * size, 1)
    const numbers = Float32Array.from({ length: count }, () => (random.next() - 0.5) / 8)
    return { type: 'FP32', shape, bytes: Buffer.from(numbers.buffer) }
  }
  const dense = (input: string, name: string, from: number, to: number): NodeSource => {
    constants[`${name}_w`] = weights(from, to)
    return node('MatMul', [input, `${name}_w`], name)
  }
  const norm = (inputs: readonly string[], name: string): readonly NodeSource[] => [
    node('Add', inputs, `${name}_sum`),
    node('LayerNormalization', [`${name}_sum`, 'ones', 'zeros'], name, { axis: -1 }),
  ]
  const layer = (index: number): readonly NodeSource[] => {
    const p = `l${index}_`
    const x = `x${index}`
    const head = (name: string, perm: readonly number[]): readonly NodeSource[] => [
      dense(x, p + name, WIDTH, WIDTH),
      node('Reshape', [p + name, 'split'], `${p}${name}s`),
      node('Transpose', [`${p}${name}s`], `${p}${name}t`, { perm }),
    ]
    return [
      ...head('q', [0, 2, 1, 3]),
      ...head('k', [0, 2, 3, 1]),
      ...head('v', [0, 2, 1, 3]),
      node('MatMul', [`${p}qt`, `${p}kt`], `${p}raw`),
      node('Mul', [`${p}raw`, 'scale'], `${p}scaled`),
      node('Add', [`${p}scaled`, 'hidden_places'], `${p}masked`),
      node('Softmax', [`${p}masked`], `${p}shares`, { axis: -1 }),
      node('MatMul', [`${p}shares`, `${p}vt`], `${p}mixed`),
      node('Transpose', [`${p}mixed`], `${p}back`, { perm: [0, 2, 1, 3] }),
      node('Reshape', [`${p}back`, 'joined'], `${p}heads`),
      dense(`${p}heads`, `${p}out`, WIDTH, WIDTH),
      ...norm([x, `${p}out`], `${p}attended`),
      dense(`${p}attended`, `${p}inner`, WIDTH, INNER),
      node('Mul', [`${p}inner`, 'root'], `${p}rooted`),
      node('Erf', [`${p}rooted`], `${p}erf`),
      node('Add', [`${p}erf`, 'one'], `${p}shifted`),
      node('Mul', [`${p}inner`, `${p}shifted`], `${p}doubled`),
      node('Mul', [`${p}doubled`, 'half'], `${p}gelu`),
      dense(`${p}gelu`, `${p}outer`, INNER, WIDTH),
      ...norm(
        [`${p}attended`, `${p}outer`],
        index === LAYERS - 1 ? 'last_hidden_state' : `x${index + 1}`,
      ),
    ]
  }
  const nodes = [
    node('Gather', ['words', 'input_ids'], 'word_rows', { axis: 0 }),
    node('Gather', ['types', 'token_type_ids'], 'type_rows', { axis: 0 }),
    node('Shape', ['input_ids'], 'sizes'),
    node('Gather', ['sizes', 'second'], 'length', { axis: 0 }),
    node('Range', ['first', 'length', 'step'], 'numbers'),
    node('Gather', ['places', 'numbers'], 'place_rows', { axis: 0 }),
    node('Add', ['word_rows', 'type_rows'], 'typed'),
    ...norm(['typed', 'place_rows'], 'x0'),
    node('Cast', ['attention_mask'], 'mask', { to: 1 }),
    node('Sub', ['one', 'mask'], 'unused'),
    node('Mul', ['unused', 'far'], 'far_places'),
    node('Unsqueeze', ['far_places', 'axes'], 'hidden_places'),
    ...Array.from({ length: LAYERS }, (_, index) => layer(index)).flat(),
  ]
  return writeModel(path.join(folder, 'model.onnx'), {
    inputs: ['input_ids', 'attention_mask', 'token_type_ids'].map((name) => {
      return { name, type: 'INT64', shape: ['batch', 'sequence'] } as const
    }),
    outputs: [{ name: 'last_hidden_state', type: 'FP32', shape: ['batch', 'sequence', WIDTH] }],
    nodes,
    constants,
  })
}
