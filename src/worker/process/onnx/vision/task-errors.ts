import { ServerError } from '../../../../errors.ts'
import { countText, shapeText } from '../tensors/error-text.ts'

/** Returns the error for a `task` that the model does not suit. */
export function invalidTask(problem: string): ServerError {
  return new ServerError('InvalidModelException', `model.json: "task": ${problem}.`)
}

/** Returns the error for an output that does not have one entry for each image. */
export function otherCount(shape: readonly number[], images: number): ServerError {
  const found = `an output of shape ${shapeText(shape)} for ${countText(images, 'image')}`
  return images > 1
    ? new ServerError(
        'InvalidInputException',
        `The model returned ${found}, so it takes one image in a request.`,
      )
    : new ServerError('InternalServerException', `The model returned ${found}.`)
}

/** Returns the error for an output whose shape differs from the declared one. */
export function otherShape(shape: readonly number[], wanted: string): ServerError {
  return new ServerError(
    'InternalServerException',
    `The model returned an output of shape ${shapeText(shape)}, but its task needs ${wanted}.`,
  )
}
