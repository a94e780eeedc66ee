/** Writes the manifest of an archive, for onnxd, MMS and TorchServe. */
import type { ArchivedHandler } from './handler.ts'

/** MMS and TorchServe know no other runtime. onnxd finds its runtime by the file of the handler. */
const USUAL_RUNTIME = 'python'
/** Only archivers of TorchServe write this key: onnxd chooses its Python worker by it. */
const WRITER_KEY = 'archiverVersion'
const WRITER_KEYS = [WRITER_KEY, 'createdOn', 'specificationVersion', 'implementationVersion']

/** What a manifest says about a model. */
export interface ManifestFacts {
  readonly name: string
  readonly version: string
  readonly handler: ArchivedHandler
  readonly runtime: string | undefined
  /** Files for TorchServe's worker, by their keys in the manifest. */
  readonly files: Readonly<Record<string, string>>
}

/** @param before The manifest of the model's folder. Its other keys stay. */
export function manifestOf(
  before: Readonly<Record<string, unknown>>,
  { name, version, handler, runtime, files }: ManifestFacts,
): Record<string, unknown> {
  const isOfTorchServe = handler.kind === 'of TorchServe' || Object.keys(files).length > 0
  const hasWriter = WRITER_KEYS.some((key) => Object.hasOwn(before, key))
  const model = typeof before['model'] === 'object' ? before['model'] : {}
  return {
    ...before,
    ...(isOfTorchServe && !hasWriter && { [WRITER_KEY]: 'onnxd' }),
    runtime: runtime ?? before['runtime'] ?? USUAL_RUNTIME,
    model: { ...model, modelName: name, modelVersion: version, handler: handler.handler, ...files },
  }
}

/** Returns the text that is a member of `model` in a manifest. */
export function modelMember(
  manifest: Readonly<Record<string, unknown>>,
  key: string,
): string | undefined {
  const { model } = manifest
  if (typeof model !== 'object' || model === null || !(key in model)) return undefined
  const value: unknown = Reflect.get(model, key)
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined
}
