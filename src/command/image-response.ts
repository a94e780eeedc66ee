/** Says what an image model responds with, below a command to try. */
import { memberOf } from './json.ts'

/** Whether the handler's metadata, which may be any value, is that of an image model. */
export function isImageModel(metadata: unknown): boolean {
  return memberOf(metadata, 'handler') === 'image'
}

/** Returns a sentence about the response to an image; `undefined` for other models. */
export function responseNote(metadata: unknown): string | undefined {
  if (!isImageModel(metadata)) return undefined
  const topK = memberOf(metadata, 'topK')
  switch (memberOf(metadata, 'task')) {
    case 'detection':
      return "The response lists the objects: class, score, and box in pixels of the image. With -H 'Accept: image/png' it is the image with the boxes."
    case 'segmentation':
      return "The response has the area of each class and a mask. With -H 'Accept: image/jpeg' it is the image with the areas."
    case 'features':
      return 'The response is a vector of numbers.'
    default:
      return typeof topK === 'number'
        ? `The response has the ${topK} best classes, each with its probability.`
        : 'The response has the output tensors of the model.'
  }
}
