/** Entries of the list of models: running loads, failed loads, and uploads or downloads. */
import { Type } from '@sinclair/typebox'
import type { Static } from '@sinclair/typebox'
import type { FailedModel } from '../../models/loading/failures.ts'
import type { Load, LoadedIdentity } from '../../models/loading/loads.ts'
import type { ModelVersion } from '../../models/model-version.ts'
import type { Registry } from '../../models/registry.ts'
import type { Transfer } from '../../models/transfers/transfers.ts'
import { stringEnum } from '../../schema.ts'

export const FailedSchema = Type.Object({
  modelName: Type.Optional(Type.String()),
  modelVersion: Type.Optional(Type.String()),
  modelUrl: Type.String(),
  reason: Type.String(),
  log: Type.Optional(
    Type.Array(Type.String(), { description: 'Last log lines of the worker, oldest first.' }),
  ),
  failedAt: Type.String(),
})

export const TransferSchema = Type.Object({
  kind: stringEnum(['upload', 'download']),
  fileName: Type.Optional(
    Type.String({ description: 'File name of an upload, as soon as it is known.' }),
  ),
  modelUrl: Type.Optional(Type.String({ description: 'URL of a download.' })),
  bytes: Type.Integer({ description: 'Number of bytes received so far.' }),
  totalBytes: Type.Optional(
    Type.Integer({ description: 'Expected number of bytes, if the sender announced it.' }),
  ),
  startedAt: Type.String(),
})

export const LoadingSchema = Type.Object({
  modelName: Type.String(),
  modelVersion: Type.Optional(Type.String()),
  modelUrl: Type.Optional(Type.String()),
  status: Type.Literal('LOADING'),
  startedAt: Type.Optional(Type.String()),
  seconds: Type.Optional(Type.Integer({ description: 'Time since the load began.' })),
})

/** Models that are being loaded and are not served yet. */
export function showLoads(registry: Registry): Static<typeof LoadingSchema>[] {
  return registry.loading.map((load) => showLoading(load, registry.loadOf(load.name, load.version)))
}

function showLoading(
  load: ModelVersion | LoadedIdentity,
  running: Load | undefined,
): Static<typeof LoadingSchema> {
  const { name, version } = load
  return {
    modelName: name,
    ...(version !== undefined && { modelVersion: version }),
    ...('prepared' in load && { modelUrl: load.prepared.url }),
    status: 'LOADING',
    ...(running !== undefined && {
      startedAt: running.startedAt.toISOString(),
      seconds: Math.floor(running.elapsedMs / 1000),
    }),
  }
}

/** A model that could not be loaded. */
export function showFailure(failure: FailedModel): Static<typeof FailedSchema> {
  const { name, version, url, reason, log, failedAt } = failure
  return {
    ...(name !== undefined && { modelName: name }),
    ...(version !== undefined && { modelVersion: version }),
    modelUrl: url,
    reason,
    ...(log.length > 0 && { log: [...log] }),
    failedAt: failedAt.toISOString(),
  }
}

/** A running upload or download. */
export function showTransfer(transfer: Transfer): Static<typeof TransferSchema> {
  const { kind, name, bytes, totalBytes, startedAt } = transfer
  return {
    kind,
    ...(name !== undefined && { [kind === 'upload' ? 'fileName' : 'modelUrl']: name }),
    bytes,
    ...(totalBytes !== undefined && { totalBytes }),
    startedAt: startedAt.toISOString(),
  }
}
