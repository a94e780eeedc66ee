/** The request headers by which a request says how urgent it is, in every dialect of inference. */
import type { Parameter } from './types.ts'

export const URGENCY_PARAMETERS: readonly Parameter[] = [
  {
    name: 'Onnxd-Priority',
    in: 'header',
    required: false,
    description:
      'Level of priority, 1 for the highest; 0 for the default. Without effect where the model has one level.',
    schema: { type: 'integer', minimum: 0 },
  },
  {
    name: 'Onnxd-Timeout-Ms',
    in: 'header',
    required: false,
    description:
      'Milliseconds within which a worker must take the request, else it is refused with 503; 0 for the limit of the server.',
    schema: { type: 'integer', minimum: 0 },
  },
]
