/** Responses in forms of tables, and NumPy files. */
import { ServerError } from '../../../../errors.ts'
import type { WirePrediction } from '../../../wire/messages.ts'
import type { CodecLimits, Decoded } from '../codec.ts'
import { prediction } from '../prediction.ts'
import { hasParameter } from '../response-form.ts'
import type { TableForm } from '../response-form.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import type { Tensor } from '../tensors/tensor.ts'
import { tableOutputs } from './outputs.ts'
import type { TableOutput } from './outputs.ts'
import { writeNpy } from './write-npy.ts'
import { writeNpz } from './write-npz.ts'
import { writeCsv, writeRecords } from './write-table.ts'

/** A request whose response is a table or a NumPy file. */
export class TableCall implements Decoded {
  readonly id: string
  readonly dialect: Decoded['dialect']
  readonly inputs: readonly Tensor[]
  readonly outputNames: readonly string[]
  readonly #form: TableForm
  readonly #withHeader: boolean
  readonly #maxBytes: number
  readonly #named: (outputs: readonly Tensor[]) => readonly TableOutput[]

  /**
   * @param specs The outputs of the request.
   * @throws ServerError 406 when a NumPy array is asked of a model with several outputs
   */
  constructor(
    request: Omit<Decoded, 'encode'>,
    form: TableForm,
    accept: string,
    specs: readonly TensorSpec[],
    { maxResponseBytes }: CodecLimits,
  ) {
    this.id = request.id
    this.dialect = request.dialect
    this.inputs = request.inputs
    this.outputNames = request.outputNames
    this.#form = form
    this.#withHeader = form === 'csv' && hasParameter(accept, 'text/csv', 'header=present')
    this.#maxBytes = maxResponseBytes
    this.#named = tableOutputs(specs)
    if (form === 'npy') checkOneArray(specs.length)
  }

  encode(outputs: readonly Tensor[]): WirePrediction {
    const maxBytes = this.#maxBytes
    switch (this.#form) {
      case 'csv': {
        const header = this.#withHeader ? 'present' : 'absent'
        const body = writeCsv(this.#named(outputs), this.#withHeader, maxBytes)
        return prediction(this.id, 200, `text/csv; charset=utf-8; header=${header}`, body)
      }
      case 'records': {
        const body = writeRecords(this.#named(outputs), 'list', maxBytes)
        return prediction(this.id, 200, 'application/json', body)
      }
      case 'lines': {
        const body = writeRecords(this.#named(outputs), 'lines', maxBytes)
        return prediction(this.id, 200, 'application/x-ndjson', body)
      }
      case 'npy': {
        const [output] = outputs
        if (output === undefined) throw new TypeError('no output to encode')
        const body = writeNpy(output, this.outputNames[0] ?? '', maxBytes)
        return prediction(this.id, 200, 'application/x-npy', body)
      }
      case 'npz': {
        const body = writeNpz(this.outputNames, outputs, maxBytes)
        return prediction(this.id, 200, 'application/x-npz', body)
      }
    }
  }
}

function checkOneArray(outputs: number): void {
  if (outputs === 1) return
  throw new ServerError(
    'InvalidInputException',
    `The model has ${outputs} outputs, so the response cannot be one NumPy array; accept application/x-npz or application/json.`,
    { statusCode: 406 },
  )
}
