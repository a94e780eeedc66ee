/** The methods of the Open Inference Protocol that describe the server and its models. */
import { MessageReader } from '../../../formats/proto-message.ts'
import { modelConfig } from '../../../models/triton/model-config.ts'
import { modelStatistics } from '../../../models/triton/model-statistics.ts'
import { readPackageVersion } from '../../../package-files.ts'
import { checkModel, mayUse } from '../../http/access/caller.ts'
import { isServerReady, modelReadiness } from '../../kserve/health.ts'
import { EXTENSIONS, metadataOf, servedVersions } from '../../kserve/v2-metadata.ts'
import { findModel } from '../../kserve/v2-models.ts'
import type { RouteContext } from '../../route-context.ts'
import { encodeMessage } from '../messages/encode.ts'
import {
  LIVE,
  MODEL_CONFIG_RESPONSE,
  MODEL_METADATA,
  READY,
  SERVER_METADATA,
  STATISTICS_RESPONSE,
} from '../messages/schemas.ts'
import type { Call } from '../transport/call.ts'

/** Answers the message of a call with a message. */
export type Answer = (
  message: Buffer,
  call: Pick<Call, 'caller'>,
) => Promise<Uint8Array> | Uint8Array

const NAME = 1
const VERSION = 2

/** Returns the methods by name. */
export async function metadataMethods(
  context: RouteContext,
): Promise<Readonly<Record<string, Answer>>> {
  const { config, registry } = context
  const { serverName: name } = config
  const server = { name, version: await readPackageVersion(), extensions: EXTENSIONS }
  return {
    ServerLive: () => encodeMessage(LIVE, { live: true }),
    ServerReady: async () => encodeMessage(READY, { ready: await isServerReady(context) }),
    ServerMetadata: () => encodeMessage(SERVER_METADATA, server),
    ModelReady: async (message, call) => {
      const { model, version } = modelIn(message)
      checkModel(call, model)
      const { ready } = await modelReadiness(context, model, version)
      return encodeMessage(READY, { ready })
    },
    ModelMetadata: async (message, call) => {
      const { model: asked, version } = modelIn(message)
      checkModel(call, asked)
      const model = findModel(registry, asked, version)
      await model.learnMetadata()
      const versions =
        version === undefined
          ? servedVersions(registry, asked).map((one) => one.version)
          : [model.version]
      return encodeMessage(MODEL_METADATA, metadataOf(model, versions))
    },
    ModelConfig: async (message, call) => {
      const { model: asked, version } = modelIn(message)
      checkModel(call, asked)
      const model = findModel(registry, asked, version)
      await model.learnMetadata()
      return encodeMessage(MODEL_CONFIG_RESPONSE, { config: modelConfig(model, config.gpus) })
    },
    ModelStatistics: (message, call) => {
      const { model: asked, version } = modelIn(message)
      if (asked !== '') {
        checkModel(call, asked)
        findModel(registry, asked, version)
      }
      const chosen =
        asked === ''
          ? registry.all.filter(({ name: one }) => mayUse(call, one))
          : servedVersions(registry, asked).filter(
              (one) => version === undefined || one.version === version,
            )
      return encodeMessage(STATISTICS_RESPONSE, { model_stats: chosen.map(modelStatistics) })
    },
  }
}

/** Name and version of a model; the version is `undefined` for the default one. */
function modelIn(bytes: Buffer): { readonly model: string; readonly version: string | undefined } {
  const message = new MessageReader(bytes)
  let model = ''
  let version: string | undefined
  while (message.next()) {
    if (message.number === NAME) model = message.text()
    else if (message.number === VERSION) version = message.text() || undefined
  }
  return { model, version }
}
