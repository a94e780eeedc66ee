/** Turns texts into the inputs of a model, for handlers that use the tokenizer of their folder. */
import type { ModelSettings } from '../../../model-folder/settings.ts'
import type { WireRequest } from '../../wire/messages.ts'
import type { CodecLimits } from '../onnx/codec.ts'
import type { ModelMetadata } from '../onnx/tensors/metadata.ts'
import type { Tensor } from '../onnx/tensors/tensor.ts'
import type { Encoder } from './encoder.ts'
import { readBody } from './requests/text-body.ts'
import {
  MAX_TEXTS,
  badRequest,
  readRequest,
  readTexts,
  readTextsOrTokens,
} from './requests/text-request.ts'
import type { TextInput } from './requests/text-request.ts'
import type { TextFiles } from './text-folder.ts'
import { createEncoder } from './text-model.ts'

export class TextInputs {
  readonly #encoder: Encoder
  readonly #maxTexts: number
  readonly #truncates: boolean

  /** @throws ServerError `InvalidModelException` when the tokenizer does not fill the inputs. */
  constructor(files: TextFiles, { inputs, maxBatchSize }: ModelMetadata, settings: ModelSettings) {
    this.#encoder = createEncoder(files, inputs, settings.text?.maxTokens)
    this.#maxTexts = maxBatchSize > 0 ? Math.min(maxBatchSize, MAX_TEXTS) : MAX_TEXTS
    this.#truncates = settings.text?.truncate ?? false
  }

  /**
   * Encodes a text, a pair of texts, or a list of them.
   * @throws ServerError 400, or 413 for a text that is too long and must not be cut.
   */
  encode(texts: unknown, cuts = this.#truncates): readonly Tensor[] {
    return this.#batch(readTexts(texts, this.#maxTexts).texts, cuts)
  }

  /** Encodes the texts of a request to a text task. @throws ServerError 4xx */
  encodeRequest(request: WireRequest, limits: CodecLimits): readonly Tensor[] {
    const body = readBody(request, limits)
    if (body === undefined) throw badRequest('The request has no text.')
    const { inputs, parameters } = readRequest(body.value, body.query)
    const cuts = parameters.flag('truncate') ?? this.#truncates
    return this.#batch(readTextsOrTokens(inputs, this.#maxTexts).texts, cuts)
  }

  #batch(texts: readonly TextInput[], cuts: boolean): readonly Tensor[] {
    const cut = cuts ? 'longest' : 'none'
    return this.#encoder.batch(texts.map((text) => this.#encoder.encode(text, cut)))
  }
}
