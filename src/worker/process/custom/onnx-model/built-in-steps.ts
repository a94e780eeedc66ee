/** The first steps of the built-in tasks as functions: tokenise texts, prepare images. */
import { messageOf } from '../../../../errors.ts'
import type { WorkerOptions } from '../../handler.ts'
import type { PreparedImages } from '../../onnx/image/codec.ts'
import type { OpenModel } from '../../onnx/open-model.ts'
import type { TextInputs } from '../../tasks/text-inputs.ts'

interface ImagePreparer {
  prepare(files: readonly Buffer[]): Promise<PreparedImages>
}

/** The code of each is loaded when it is called for the first time. */
export class BuiltInSteps {
  readonly #open: OpenModel
  readonly #options: WorkerOptions
  #texts: Promise<TextInputs> | undefined
  #preparer: Promise<ImagePreparer> | undefined

  constructor(open: OpenModel, options: WorkerOptions) {
    this.#open = open
    this.#options = options
  }

  /** @throws TypeError if the folder has no tokenizer, or one that does not fill the inputs. */
  get texts(): Promise<TextInputs> {
    return (this.#texts ??= asHandlerError(this.#createTexts()))
  }

  /** @throws ServerError 4xx; TypeError if the inputs of the model take no image. */
  async prepareImages(images: Uint8Array | readonly Uint8Array[]): Promise<PreparedImages> {
    this.#preparer ??= asHandlerError(this.#createPreparer())
    const list = images instanceof Uint8Array ? [images] : images
    return (await this.#preparer).prepare(list.map(bufferOf))
  }

  async #createTexts(): Promise<TextInputs> {
    const { readTextFiles } = await import('../../tasks/text-folder.ts')
    const { TextInputs } = await import('../../tasks/text-inputs.ts')
    const { files, metadata } = this.#open
    const found = await readTextFiles(files, this.#options.root || undefined)
    if (found === undefined) throw new TypeError("The model's folder has no tokenizer.json.")
    return new TextInputs(found, metadata, files.settings)
  }

  async #createPreparer(): Promise<ImagePreparer> {
    const { createPreparer } = await import('../../onnx/image/codec.ts')
    const { files, metadata } = this.#open
    return createPreparer(metadata.inputs, files, this.#options)
  }
}

/** The same bytes. */
export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** An invalid model is not the mistake of a client, whose request would get 400. */
async function asHandlerError<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (cause) {
    throw new TypeError(messageOf(cause), { cause })
  }
}
