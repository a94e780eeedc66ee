/** Writes the outputs of a classifier with the labels of its classes. */
import { ServerError } from '../../../../errors.ts'
import type { Decoded } from '../codec.ts'
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

/** Returns the request with labels in place of class numbers in its response. */
export function withLabels(
  call: Decoded,
  labellers: ReadonlyMap<string, (output: Tensor) => Tensor>,
): Decoded {
  const { id, dialect, inputs, outputNames } = call
  const labelled = (output: Tensor, index: number): Tensor =>
    labellers.get(outputNames[index] ?? '')?.(output) ?? output
  return {
    id,
    dialect,
    inputs,
    outputNames,
    encode: (outputs) => call.encode(outputs.map(labelled)),
  }
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
  const keys = labels.map((label, index) => `${index > 0 ? ',' : '{'}${JSON.stringify(label)}:`)
  return (writer, output) => {
    const { shape, data } = output
    if (shape.length > 2 || shape.at(-1) !== keys.length) {
      const text = `Output ${quote(name)} has the shape ${shapeText(shape)}, but there are ${keys.length} labels.`
      throw new ServerError('InvalidInputException', text)
    }
    writer.ascii('[')
    for (let at = 0; at < data.length; at += keys.length) {
      if (at > 0) writer.ascii(',')
      for (const [column, key] of keys.entries()) {
        writer.json(key).element(output, name, at + column)
      }
      writer.ascii('}')
    }
    writer.ascii(']')
  }
}
