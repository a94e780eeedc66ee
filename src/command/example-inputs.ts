/** Requests of zeros that fit the inputs of a model. */

/** Bytes per element, by Open Inference Protocol datatype. */
const ELEMENT_BYTES: Readonly<Record<string, number>> = {
  BOOL: 1,
  INT8: 1,
  UINT8: 1,
  INT16: 2,
  UINT16: 2,
  FP16: 2,
  INT32: 4,
  UINT32: 4,
  FP32: 4,
  INT64: 8,
  UINT64: 8,
  FP64: 8,
}
/** A JSON body with more elements does not fit into a readable line. */
const MAX_JSON_ELEMENTS = 64

/** An input of a model. */
export interface TensorInfo {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
}

/** Reads the inputs from the handler's metadata, which may be any value. */
export function inputsOf(metadata: unknown): TensorInfo[] {
  if (typeof metadata !== 'object' || metadata === null || !('inputs' in metadata)) return []
  return Array.isArray(metadata.inputs) ? metadata.inputs.filter(isTensorInfo) : []
}

/**
 * A request of zeros: JSON, or a number of raw zero bytes if JSON would be long and the shape
 * follows from the number of bytes.
 */
export function zerosOf(
  inputs: readonly TensorInfo[],
): { readonly json: string } | { readonly bytes: number } {
  const [only, ...others] = inputs
  const size = only === undefined ? undefined : ELEMENT_BYTES[only.datatype]
  if (
    only !== undefined &&
    others.length === 0 &&
    size !== undefined &&
    elements(only) > MAX_JSON_ELEMENTS &&
    isDeducible(only)
  ) {
    return { bytes: elements(only) * size }
  }
  const body = inputs.map((input) => [input.name, zeros(input.shape, input.datatype)])
  return { json: JSON.stringify(Object.fromEntries(body)) }
}

function isTensorInfo(value: unknown): value is TensorInfo {
  return (
    typeof value === 'object' &&
    value !== null &&
    'name' in value &&
    'datatype' in value &&
    'shape' in value &&
    Array.isArray(value.shape)
  )
}

function elements({ shape }: TensorInfo): number {
  return shape.reduce((product, dimension) => product * (dimension < 0 ? 1 : dimension), 1)
}

/** The shape follows from the number of raw bytes only if at most one dimension is open. */
function isDeducible({ shape }: TensorInfo): boolean {
  return shape.filter((dimension) => dimension < 0).length <= 1
}

function zeros(shape: readonly number[], datatype: string): unknown {
  const [dimension, ...rest] = shape
  if (dimension === undefined) return datatype === 'BYTES' ? '' : datatype === 'BOOL' ? false : 0
  return Array.from({ length: dimension < 0 ? 1 : dimension }, () => zeros(rest, datatype))
}
