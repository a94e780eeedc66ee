/** Reads the bytes of one input: a NumPy array, or the elements themselves. */
import { ServerError } from '../../../../errors.ts'
import { isNumpyFile } from '../../../../formats/file-format.ts'
import { quote } from '../tensors/error-text.ts'
import type { TensorSpec } from '../tensors/metadata.ts'
import { tensorFromOctets } from '../tensors/raw-bytes.ts'
import type { Tensor } from '../tensors/tensor.ts'
import { refuseForeignBytes } from './foreign-bytes.ts'
import { tensorFromNpy } from './npy.ts'

/**
 * Reads a body, or a part of a form, for one input.
 * @throws ServerError 400, or 415 for data that is not a tensor
 */
export function tensorFromBytes(
  spec: TensorSpec,
  bytes: Buffer,
  declaredShape?: readonly number[],
): Tensor {
  if (isNumpyFile(bytes)) return tensorFromNpy(spec, bytes, declaredShape)
  if (spec.datatype !== 'BYTES') refuseForeignBytes(spec, spec.datatype, bytes)
  return tensorFromOctets(spec, bytes, declaredShape)
}

/**
 * Reads bytes that are declared as a NumPy array.
 * @throws ServerError 400 when they are something else
 */
export function tensorFromDeclaredNpy(
  spec: TensorSpec,
  bytes: Buffer,
  declaredShape?: readonly number[],
): Tensor {
  if (isNumpyFile(bytes)) return tensorFromNpy(spec, bytes, declaredShape)
  throw new ServerError(
    'InvalidInputException',
    `Input ${quote(spec.name)}: the content type is that of a NumPy array file, but the data does not begin like one.`,
  )
}
