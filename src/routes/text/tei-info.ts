/** Builds the response of `/info`. */
import type { Static } from '@sinclair/typebox'
import { ServerError } from '../../errors.ts'
import { asHandlerMetadata } from '../../models/model-metadata.ts'
import type { TextMetadata } from '../../models/model-metadata.ts'
import type { ModelVersion } from '../../models/model-version.ts'
import type { TeiInfo } from './tei-schemas.ts'

const DTYPES: ReadonlyMap<string, string> = new Map([
  ['FP16', 'float16'],
  ['FP64', 'float64'],
])

/**
 * A model that loads on demand is loaded for its metadata.
 * @throws ServerError 400 for a model that is not for texts.
 */
export async function infoOf(
  model: ModelVersion,
  { version, queueSize }: { readonly version: string; readonly queueSize: number },
): Promise<Static<typeof TeiInfo>> {
  await model.learnMetadata()
  const { text, outputs = [] } = asHandlerMetadata(model.metadata) ?? {}
  if (text === undefined) {
    throw new ServerError('BadRequestException', `The model ${model.name} does not take texts.`)
  }
  const [output] = outputs
  return {
    model_id: model.name,
    model_dtype: DTYPES.get(output?.datatype ?? '') ?? 'float32',
    model_type: typeOf(text),
    max_concurrent_requests: queueSize,
    max_input_length: text.maxTokens,
    max_batch_tokens: text.maxBatchTokens,
    max_client_batch_size: text.maxTexts,
    auto_truncate: text.truncates,
    tokenization_workers: model.status.wantedWorkers,
    version,
  }
}

function typeOf({
  task,
  labels,
  pooling = 'none',
}: TextMetadata): Static<typeof TeiInfo>['model_type'] {
  const names = {
    id2label: Object.fromEntries(labels.entries()),
    label2id: Object.fromEntries(labels.map((label, index) => [label, index])),
  }
  switch (task) {
    case 'text-classification':
      return { classifier: names }
    case 'text-ranking':
      return { reranker: names }
    case 'feature-extraction':
      return { embedding: { pooling } }
    case 'sparse-embedding':
      return { embedding: { pooling: 'splade' } }
    default:
      return {}
  }
}
