/** Request headers that describe the content of a binary body. */
import type { Parameter } from './types.ts'

/** Shape of a raw tensor body. */
export const TENSOR_SHAPE: Parameter = {
  name: 'Tensor-Shape',
  in: 'header',
  required: false,
  description:
    'Shape of the tensor in a body of raw bytes, for example `1,3,224,224`. Required if more than one dimension of the input is open.',
  schema: { type: 'string', maxLength: 1000 },
}

/** For requests of the Open Inference Protocol in binary form. */
export const BINARY_PARAMETERS: readonly Parameter[] = [
  {
    name: 'Inference-Header-Content-Length',
    in: 'header',
    required: false,
    description:
      'Number of JSON bytes at the start of a body with binary tensors; 0 if the body contains only the elements of the only input. Without this header the body is JSON.',
    schema: { type: 'integer', minimum: 0, maximum: 2 ** 31 - 1 },
  },
  TENSOR_SHAPE,
]
