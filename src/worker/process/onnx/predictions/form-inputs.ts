/** Reads inputs that come as separate parameters: parts or fields of a form, or query values. */
import { ServerError } from '../../../../errors.ts'
import { isNumpyFile } from '../../../../formats/file-format.ts'
import type { WireParameter } from '../../../wire/messages.ts'
import type { CodecLimits } from '../codec.ts'
import { openJson } from '../json/open.ts'
import { tensorFromBytes, tensorFromDeclaredNpy } from '../raw/raw-input.ts'
import { bytesToElement } from '../tensors/byte-strings.ts'
import { InputSet } from '../tensors/inputs.ts'
import type { InputTable } from '../tensors/inputs.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import { shapeOfOne } from '../tensors/shape.ts'
import type { Tensor } from '../tensors/tensor.ts'
import { readShaped } from './json-inputs.ts'
import { contentKind, unsupportedType } from './media-type.ts'
import type { ContentKind } from './media-type.ts'

/** Query value of `/invocations` that names the model, not an input. */
const MODEL_PARAMETER = 'model_name'

/** Types that are not the value of one input. */
const NOT_ONE_INPUT: ReadonlySet<ContentKind> = new Set(['other', 'csv', 'lines', 'npz', 'parquet'])

/** The front-end adds an empty body to the query values of a request without a body. */
const EMPTY_BODY = 'body'

/**
 * Reads one parameter for each input. A model with one input also accepts a single file with any
 * name.
 */
export function readFormInputs(
  parameters: readonly WireParameter[],
  table: InputTable,
  limits: CodecLimits,
): readonly Tensor[] {
  const inputs = new InputSet(table)
  for (const parameter of parameters) {
    const name = inputName(parameter, table)
    if (name === undefined) continue
    inputs.add(name, readValue(parameter, inputs.claim(name), limits))
  }
  return inputs.complete()
}

/**
 * Returns the input for a parameter; `undefined` when the parameter is not an input.
 * @throws ServerError 400 when the name is unknown
 */
function inputName(parameter: WireParameter, table: InputTable): string | undefined {
  const { name, contentType, value } = parameter
  if (table.has(name)) return name
  const [only, ...others] = table.specs
  const isFile = contentType !== ''
  if (isFile && only !== undefined && others.length === 0) return only.name
  if (!isFile && name === MODEL_PARAMETER) return undefined
  if (name === EMPTY_BODY && value.length === 0) return undefined
  if (/^\s*[{[]/.test(name)) {
    throw new ServerError(
      'InvalidInputException',
      `The body was sent as a form, but it looks like JSON; send the header "Content-Type: application/json" (curl: -H 'Content-Type: application/json').`,
    )
  }
  if (!isFile && /[,\n]/.test(name)) {
    throw new ServerError(
      'InvalidInputException',
      `The body was sent as a form, but it looks like CSV; send the header "Content-Type: text/csv" (curl: -H 'Content-Type: text/csv').`,
    )
  }
  table.positionOf(name)
  return name
}

function readValue(parameter: WireParameter, spec: TensorSpec, limits: CodecLimits): Tensor {
  const { contentType, value } = parameter
  const kind = contentKind(contentType)
  if (kind === 'octets') return tensorFromBytes(spec, value)
  if (kind === 'numpy') return tensorFromDeclaredNpy(spec, value)
  if (NOT_ONE_INPUT.has(kind)) throw unsupportedType(contentType, parameter.name)
  // A field without a type is text, even if it starts like JSON.
  if (spec.datatype === 'BYTES' && kind !== 'json') return plainText(value, spec)
  if (isNumpyFile(value)) return tensorFromBytes(spec, value)
  const reader = openJson(value, limits)
  const tensor = readShaped(reader, spec)
  reader.end()
  return tensor
}

/** Text without a type is one string, whatever its content. */
export function plainText(value: Buffer, spec: TensorSpec): Tensor {
  return { datatype: 'BYTES', shape: shapeOfOne(spec), data: [bytesToElement(value)] }
}
