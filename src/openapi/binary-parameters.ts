/** Request headers that describe the content of a binary body. */
import type { Parameter } from './types.ts'

/** Shape of a raw tensor body. */
export const TENSOR_SHAPE: Parameter = {
  name: 'Tensor-Shape',
  in: 'header',
  required: false,
  description:
    'Shape of the elements in a body of bytes, for example `1,3,224,224`. Needed where more than one dimension of the input is open.',
  schema: { type: 'string', maxLength: 1000 },
}

/** For requests of the Open Inference Protocol in binary form. */
export const BINARY_PARAMETERS: readonly Parameter[] = [
  {
    name: 'Inference-Header-Content-Length',
    in: 'header',
    required: false,
    description:
      'Bytes of JSON at the beginning of a body in binary form; 0 for nothing but the elements of the only input. Without it the body is JSON.',
    schema: { type: 'integer', minimum: 0, maximum: 2 ** 31 - 1 },
  },
  TENSOR_SHAPE,
]
