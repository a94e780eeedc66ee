/** Execution providers: where onnxruntime runs the operators. */
import { listSupportedBackends } from 'onnxruntime-node'
import type { InferenceSession } from 'onnxruntime-node'
import { ServerError } from '../../../../errors.ts'
import { quote } from '../tensors/error-text.ts'

/**
 * Returns the providers in order of preference; without a wish, those for the GPU, if there is one.
 * @throws ServerError `InvalidModelException` for one that this onnxruntime does not have.
 */
export function chooseProviders(
  wanted: readonly string[],
  gpu: number | undefined,
): readonly string[] {
  if (wanted.length === 0) return gpu === undefined ? ['cpu'] : ['cuda', 'cpu']
  const known = listSupportedBackends().map((backend) => backend.name)
  const unknown = wanted.find((name) => !known.includes(name))
  if (unknown === undefined) return wanted
  throw new ServerError(
    'InvalidModelException',
    `Execution provider ${quote(unknown)} is not available in this onnxruntime; it has ${known.join(', ')}.`,
  )
}

/** Returns a provider with the number of its GPU. */
export function providerConfig(
  name: string,
  gpu: number | undefined,
): InferenceSession.ExecutionProviderConfig {
  return gpu !== undefined && (name === 'cuda' || name === 'tensorrt')
    ? { name, deviceId: gpu }
    : name
}
