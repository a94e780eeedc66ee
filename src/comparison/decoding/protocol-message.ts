/** Reads a `ModelInferResponse`, the response of the Open Inference Protocol over gRPC. */
import { MessageReader } from '../../formats/proto-message.ts'
import type { NamedValues } from '../comparison.ts'
import { valuesFromBytes } from './raw-values.ts'

/** Field numbers of the response and of an output. */
const RESPONSE = { output: 5, raw: 6 } as const
const OUTPUT = { name: 1, datatype: 2, shape: 3 } as const
const MAX_RANK = 64

/** @throws Error for bytes that are no such message, or outputs without raw bytes. */
export function outputsOfMessage(bytes: Buffer): readonly NamedValues[] {
  const message = new MessageReader(bytes)
  const outputs: { name: string; datatype: string; shape: readonly number[] }[] = []
  const raw: Buffer[] = []
  while (message.next()) {
    if (message.number === RESPONSE.output) outputs.push(outputOf(message.message()))
    else if (message.number === RESPONSE.raw) raw.push(message.view())
  }
  if (raw.length !== outputs.length) throw new RangeError('an output has no raw bytes')
  return outputs.map(({ name, datatype, shape }, index) => ({
    name,
    ...valuesFromBytes(datatype, shape, raw[index] ?? Buffer.alloc(0)),
  }))
}

function outputOf(message: MessageReader): {
  name: string
  datatype: string
  shape: readonly number[]
} {
  let [name, datatype] = ['', '']
  const shape: number[] = []
  while (message.next()) {
    if (message.number === OUTPUT.name) name = message.text()
    else if (message.number === OUTPUT.datatype) datatype = message.text()
    else if (message.number === OUTPUT.shape) shape.push(...message.integers(MAX_RANK).map(Number))
  }
  return { name, datatype, shape }
}
