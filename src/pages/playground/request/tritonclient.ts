/** A request with tensors as a program in Python with the package `tritonclient`. */
import { parseExact } from './exact-json.ts'
import type { ExactJson } from './exact-json.ts'
import { pythonText, pythonValue } from './quoting.ts'
import { TOKEN_VARIABLE, shownBody } from './request.ts'
import type { ModelRequest } from './request.ts'

/** An input of the model. */
export interface ClientInput {
  readonly name: string
  readonly datatype: string
  /** Open sizes are below 0. */
  readonly shape: readonly number[]
}

const DTYPES: Readonly<Record<string, string>> = {
  BOOL: 'np.bool_',
  UINT8: 'np.uint8',
  UINT16: 'np.uint16',
  UINT32: 'np.uint32',
  UINT64: 'np.uint64',
  INT8: 'np.int8',
  INT16: 'np.int16',
  INT32: 'np.int32',
  INT64: 'np.int64',
  FP16: 'np.float16',
  FP32: 'np.float32',
  FP64: 'np.float64',
  BYTES: 'object',
}

/** The program; `undefined` if the request is not one with tensors that the client knows. */
export function tritonProgram(
  request: ModelRequest,
  inputs: readonly ClientInput[],
): string | undefined {
  const body = shownBody(request)
  if (body.kind !== 'json' || inputs.length === 0) return undefined
  const values = membersOf(body.text)
  if (values === undefined) return undefined
  const arrays: string[] = []
  for (const [index, input] of inputs.entries()) {
    const value = values.get(input.name)
    const array = value === undefined ? undefined : arrayOf(value, input)
    if (array === undefined) return undefined
    arrays.push(
      `x${index} = ${array}`,
      `inputs.append(triton.InferInput(${pythonText(input.name)}, list(x${index}.shape), ${pythonText(input.datatype)}))`,
      `inputs[-1].set_data_from_numpy(x${index})`,
    )
  }
  const { protocol, host, pathname } = new URL(request.server)
  const base = host + pathname.replace(/\/$/, '')
  const call = [
    pythonText(request.model),
    'inputs',
    ...(request.version === undefined ? [] : [`model_version=${pythonText(request.version)}`]),
    ...(request.hasToken
      ? [`headers={'Authorization': 'Bearer ' + os.environ[${pythonText(TOKEN_VARIABLE)}]}`]
      : []),
  ]
  return [
    ...(request.hasToken ? ['import os', ''] : []),
    'import numpy as np',
    'import tritonclient.http as triton',
    '',
    `client = triton.InferenceServerClient(${pythonText(base)}${protocol === 'https:' ? ', ssl=True' : ''})`,
    'inputs = []',
    ...arrays,
    `result = client.infer(${call.join(', ')})`,
    "for output in result.get_response()['outputs']:",
    "    print(output['name'], result.as_numpy(output['name']).tolist())",
    '',
  ].join('\n')
}

function membersOf(text: string): ReadonlyMap<string, ExactJson> | undefined {
  try {
    const value = parseExact(text)
    return value.kind === 'object' ? new Map(value.members) : undefined
  } catch {
    return undefined
  }
}

/** An expression for the array; `undefined` if the client has no dtype for it. */
function arrayOf(value: ExactJson, { datatype, shape }: ClientInput): string | undefined {
  const dtype = DTYPES[datatype]
  if (dtype === undefined) return undefined
  const text = pythonValue(value)
  const numbers = datatype.startsWith('FP') ? text.replaceAll(/NaN|Infinity/g, numberOf) : text
  const array = `np.array(${numbers}, dtype=${dtype})`
  if (rankOf(value) === shape.length) return array
  // The server adds and removes dimensions where there is one way to do so; this client does not.
  const open = shape.filter((size) => size < 0).length
  return open > 1 ? undefined : `${array}.reshape(${JSON.stringify(shape)})`
}

function numberOf(word: string): string {
  return word === 'NaN' ? 'np.nan' : 'np.inf'
}

function rankOf(value: ExactJson): number {
  return value.kind === 'list' ? 1 + (value.items[0] === undefined ? 0 : rankOf(value.items[0])) : 0
}
