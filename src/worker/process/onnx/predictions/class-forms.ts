/** Writes the outputs of a classifier with the labels of its classes. */
import { ServerError } from '../../../../errors.ts'
import type { JsonWriter } from '../json/writer.ts'
import { textToElement } from '../tensors/byte-strings.ts'
import { quote, shapeText } from '../tensors/error-text.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import type { Tensor } from '../tensors/tensor.ts'

/** Writes one output. */
export type OutputWriter = (writer: JsonWriter, output: Tensor) => void

/** Returns the writers of the outputs that are not written as numbers, by name. */
export function outputWriters(specs: readonly TensorSpec[]): ReadonlyMap<string, OutputWriter> {
  return new Map(
    specs.flatMap((spec): [string, OutputWriter][] => {
      const write = writerOf(spec)
      return write === undefined ? [] : [[spec.name, write]]
    }),
  )
}

function writerOf(spec: TensorSpec): OutputWriter | undefined {
  if (spec.form === undefined) return undefined
  return spec.form === 'label' ? labelWriter(spec) : objectWriter(spec.name, spec.labels ?? [])
}

/** Each class as its label. */
function labelWriter(spec: TensorSpec): OutputWriter {
  const label = labellerOf(spec)
  return (writer, output) => writer.nested(label(output), spec.name)
}

/**
 * Returns functions that replace class numbers by labels, by the name of the output. A class
 * without a label becomes the text of its number.
 */
export function outputLabellers(
  specs: readonly TensorSpec[],
): ReadonlyMap<string, (output: Tensor) => Tensor> {
  return new Map(
    specs.filter(({ form }) => form === 'label').map((spec) => [spec.name, labellerOf(spec)]),
  )
}

function labellerOf({ labels = [], classNumbers }: TensorSpec): (output: Tensor) => Tensor {
  const elements = labels.map(textToElement)
  const numbers = classNumbers ?? [...labels.keys()]
  const byNumber = new Map(numbers.map((number, index) => [String(number), elements[index]]))
  return ({ data: values, shape }) => {
    const data = Array.from(values.keys(), (index) => {
      const number = String(values[index])
      return byNumber.get(number) ?? number
    })
    return { datatype: 'BYTES', shape, data }
  }
}

/** Each row of scores as an object. A list of scores is one row. */
function objectWriter(name: string, labels: readonly string[]): OutputWriter {
  const keys = keysOf(labels)
  return (writer, output) => {
    const { data } = checkScores(name, output, labels.length)
    writer.ascii('[')
    for (let at = 0; at < data.length; at += keys.length) {
      if (at > 0) writer.ascii(',')
      writeScores(writer, output, name, keys, at)
    }
    writer.ascii(']')
  }
}

/** The labels as keys of a JSON object, each with what stands before it. */
export function keysOf(labels: readonly string[]): readonly string[] {
  return labels.map((label, index) => `${index > 0 ? ',' : '{'}${JSON.stringify(label)}:`)
}

/** Writes the scores of one row, which begin at the element `from`, as an object. */
export function writeScores(
  writer: JsonWriter,
  output: Tensor,
  name: string,
  keys: readonly string[],
  from: number,
): void {
  for (const [column, key] of keys.entries()) writer.json(key).element(output, name, from + column)
  writer.ascii('}')
}

/** @throws ServerError when the scores of a row are not as many as the labels */
export function checkScores(name: string, output: Tensor, count: number): Tensor {
  const { shape } = output
  if (shape.length > 0 && shape.length <= 2 && shape.at(-1) === count) return output
  const text = `Output ${quote(name)} has the shape ${shapeText(shape)}, but there are ${count} labels.`
  throw new ServerError('InvalidInputException', text)
}
