import { ServerError } from '../../../../errors.ts'
import type { ModelFiles } from '../../../../model-folder/files.ts'
import type { WorkerOptions } from '../../handler.ts'
import { readTextFolder } from '../../tasks/text-folder.ts'
import type { Decoded, OwnRuns, RequestCodec } from '../codec.ts'
import { TENSOR_DIALECTS } from '../headers.ts'
import type { RequestHeaders } from '../headers.ts'
import { InstancesCodec } from '../kserve-v1/codec.ts'
import { hasEntryPerInstance } from '../kserve-v1/outputs.ts'
import { IMAGE_HANDLER } from '../model-metadata.ts'
import { ProtocolCodec } from '../oip/codec.ts'
import { HTTP_TRANSPORT } from '../oip/named-tensors.ts'
import { TensorCodec } from '../predictions/codec.ts'
import { withTextHint } from '../predictions/text-hint.ts'
import type { OnnxSession } from '../runtime/session.ts'
import type { ModelMetadata, TextDescription } from '../tensors/metadata.ts'
import type { Tensor } from '../tensors/tensor.ts'
import { LateCodec } from './late-codec.ts'

type TensorDialect = (typeof TENSOR_DIALECTS)[number]

/** The codec of each REST dialect. `plain` serves MMS's routes and belongs to the handler. */
export interface Codecs {
  readonly v1: RequestCodec
  readonly v2: RequestCodec<Decoded | OwnRuns>
  readonly grpc: RequestCodec<Decoded | OwnRuns>
  readonly plain: RequestCodec<Decoded | OwnRuns>
  /** Serves all dialects of texts. */
  readonly texts: RequestCodec<OwnRuns>
  /** Respond with tensors to requests whose inputs are already known. */
  readonly known: Readonly<Record<'plain' | 'v1' | 'v2', Responder>>
  readonly maxBodyBytes: number
}

/** Responds to a request whose tensors are already known. */
export interface Responder {
  respond(
    id: string,
    inputs: readonly Tensor[],
    headers: RequestHeaders,
  ): Decoded | Promise<Decoded>
}

const NO_TEXTS: RequestCodec<OwnRuns> = {
  decode: () => {
    const problem = 'The model answers no texts. Use /predictions/{model}; see docs/text.md.'
    throw new ServerError('InvalidInputException', problem)
  },
}

/** Whether requests in a dialect are tensors, or what the handler takes on MMS's routes. */
export function isForTensors(dialect: string): dialect is TensorDialect | 'plain' {
  return dialect === 'plain' || TENSOR_DIALECTS.some((one) => one === dialect)
}

/** @throws ServerError when the model and its files do not match. */
export async function codecsOf(
  session: OnnxSession,
  metadata: ModelMetadata,
  files: ModelFiles,
  options: WorkerOptions,
): Promise<{ codecs: Codecs; text?: TextDescription }> {
  const v2 = new ProtocolCodec(metadata, options)
  const v1 = new InstancesCodec(metadata, options, () =>
    hasEntryPerInstance(metadata, (inputs, names) => session.run(inputs, names)),
  )
  const grpc = new LateCodec(async () => {
    const { MessageCodec } = await import('../oip/grpc-messages/codec.ts')
    return new MessageCodec(metadata, options)
  })
  const tensors = new TensorCodec(metadata, options, v2)
  const known = { plain: tensors, v1, v2 }
  const others = { v1, v2, grpc, texts: NO_TEXTS, known, maxBodyBytes: options.maxBodyBytes }
  if (metadata.handler === IMAGE_HANDLER) {
    const { createImageCodecs } = await import('../image/codec.ts')
    const images = await createImageCodecs(metadata, files, options, { v1, v2 })
    return { codecs: { ...others, ...images } }
  }
  const folder = await readTextFolder(files, options.root || undefined)
  if (folder === undefined) return { codecs: { ...others, plain: tensors } }
  const { createTextModel } = await import('../../tasks/text-model.ts')
  const joinsRequests = (options.joinBatches || files.settings.joinBatches) !== 'never'
  const fallback = withTextHint(tensors)
  const parts = { folder, files, metadata, limits: options, fallback, joinsRequests }
  const { codec, protocol, dialects, description } = createTextModel(parts)
  const codecs = {
    ...others,
    v1: withTextHint(v1),
    v2: protocol(HTTP_TRANSPORT, v2),
    grpc: new LateCodec(async () => {
      const { GRPC_TRANSPORT } = await import('../oip/grpc-messages/named.ts')
      return protocol(GRPC_TRANSPORT, grpc)
    }),
    plain: codec,
    texts: dialects,
  }
  return { codecs, text: description }
}
