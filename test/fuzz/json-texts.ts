/** JSON as clients send it: requests of all dialects, and tensors. */
import type { RandomNumbers } from '../helpers/random.ts'
import { pick } from './fuzz.ts'

const STRINGS = [
  '""',
  '"a"',
  '"ü€😀"',
  '"\\u0000"',
  '"\\n\\"\\\\"',
  '"\\ud83d\\ude00"',
  '"[{,:"',
  '"NaN"',
]
const SPACES = ['', '', '', ' ', '\n\t ', '\r\n']
/** Numbers at the edges of datatypes. */
const EDGES = [
  '0 -0 1 -1 255 256 2147483647 2147483648 -2147483648 9007199254740991 9007199254740993',
  '9223372036854775807 9223372036854775808 -9223372036854775808 18446744073709551615',
  '0.1 1e-45 1.401298464324817e-45 3.4028234663852886e38 1.7976931348623157e308 5e-324 1e22',
  '1e23 8.41 0.30000000000000004 123456789012345678901234567890 1.00000005960464477540 16777217',
].flatMap((line) => line.split(' '))

export function numberText(random: RandomNumbers): string {
  switch (random.integer(0, 5)) {
    case 0:
      return pick(random, EDGES)
    case 1:
      return String(random.integer(-1000, 1000))
    case 2:
      return String((random.next() - 0.5) * 10 ** random.integer(-40, 40))
    case 3:
      return String(Math.fround(random.next()))
    case 4:
      return `${random.integer(-99, 99)}.${digits(random, 30)}`
    default:
      return `${random.integer(1, 9)}${digits(random, 25)}${pick(random, ['', '.5', 'e3', 'E-7', 'e+20'])}`
  }
}

function digits(random: RandomNumbers, most: number): string {
  return Array.from({ length: random.integer(1, most) }, () => random.integer(0, 9)).join('')
}

/** A list of numbers, or of lists. */
export function randomTensorText(random: RandomNumbers, depth = random.integer(0, 2)): string {
  if (depth < 0) {
    const kind = random.integer(0, 9)
    if (kind === 0) return pick(random, STRINGS)
    if (kind === 1) return pick(random, ['true', 'false', 'null', 'NaN', '-Infinity', '1', '0'])
    return numberText(random)
  }
  const length = random.integer(0, 4)
  const space = pick(random, SPACES)
  const parts = Array.from({ length }, () => randomTensorText(random, depth - 1))
  return `[${space}${parts.join(`${space},${space}`)}${space}]`
}

function integers(random: RandomNumbers): string {
  const list = Array.from({ length: random.integer(0, 3) }, () =>
    random.next() < 0.2
      ? pick(random, ['9223372036854775807', '-9223372036854775808', '9007199254740993'])
      : random.integer(-99, 99),
  )
  return `[${list.join()}]`
}

function floats(random: RandomNumbers): string {
  return `[${Array.from({ length: random.integer(0, 3) }, () => numberText(random)).join()}]`
}

function texts(random: RandomNumbers): string {
  return `[${Array.from({ length: random.integer(0, 3) }, () => pick(random, STRINGS)).join()}]`
}

/** Inputs of the models in `json-readers.ts`. */
const INPUTS = [
  ['f32', 'FP32', floats],
  ['f64', 'FP64', floats],
  ['i64', 'INT64', integers],
  ['s', 'BYTES', texts],
] as const

/** A request of one dialect, mostly sound. */
export function randomRequest(random: RandomNumbers): string {
  const values = INPUTS.map(([name, type, make]) => ({ name, type, text: make(random) }))
  const length = (text: string): number => (JSON.parse(text) as unknown[]).length
  switch (random.integer(0, 3)) {
    case 0: {
      const parts = values.map(({ name, type, text }) => {
        const members = [
          `"name":"${name}"`,
          `"datatype":"${type}"`,
          `"shape":[${length(text)}]`,
          `"data":${text}`,
        ]
        if (random.next() < 0.3) members.reverse()
        if (random.next() < 0.2)
          members.push(`"parameters":{"a":1.5e3,"b":${pick(random, STRINGS)},"c":[{}]}`)
        return `{${members.join()}}`
      })
      const id = pick(random, ['', '"id":"a",', '"id":null,', '"parameters":{"x":true},'])
      return `{${id}"inputs":[${parts.join()}],"outputs":[{"name":"f32"}]}`
    }
    case 1:
      return `{${values.map(({ name, text }) => `"${name}":${text}`).join(pick(random, [',', ' , ']))}}`
    case 2:
      return `{"instances":${randomTensorText(random, 1)}}`
    default:
      return `{"url":"m.onnx","model_name":${pick(random, STRINGS)},"batch_size":${numberText(random)},"x":null}`
  }
}
