/** What is known about a model before it is loaded: what was found, and what was requested. */
import { ServerError } from '../../errors.ts'
import { pipelineOf } from '../../model-folder/pipeline.ts'
import type { ModelSettings } from '../../model-folder/settings.ts'
import type { ConfigKey } from './config-pbtxt/config-report.ts'
import type { Reshapes } from './config-pbtxt/tensor-reshapes.ts'
import type { LateArchive } from './late-archive.ts'
import type { FoundVersion, SettingsFrom, TritonConfig } from './layout.ts'
import type { Location } from './location.ts'
import { checkModelName, nameOfFile, nameOfPath } from './model-name.ts'
import type { RegisteredFiles } from './registered-files.ts'
import type { ModelRuntime, WishedRuntime } from './runtime.ts'

/** One version of a model, ready to be loaded by a worker. */
export interface PreparedModel extends ModelRuntime {
  readonly name: string
  /** The folder's name for numbered versions; default `1.0`. */
  readonly version: string
  /** Absolute path for the worker: a folder or a single `.onnx` file. */
  readonly modelPath: string
  /** The URL or path that the operator or caller wrote. */
  readonly url: string
  /** The settings of `config.pbtxt`, overridden by those of `model.json`. */
  readonly settings: ModelSettings
  /** The file that each setting is from. */
  readonly settingsFrom: SettingsFrom
  /** Tensors that `config.pbtxt` shows in another shape. */
  readonly reshapes: Reshapes
  /** The `config.pbtxt` of the model, and how each of its keys was used. */
  readonly triton?: TritonConfig
  /** How each key of the configuration in a load request was used. */
  readonly loadReport?: readonly ConfigKey[]
  /** State of the operator's files when the version was prepared; absent for a transferred file. */
  readonly files?: RegisteredFiles
  /** Folder with the unpacked files of this version; `discard` removes it. */
  readonly temporaryFolder: string | undefined
  /** Fills that folder at the first load; absent if it is filled. */
  readonly archive?: LateArchive
  /** The artifact from the network; `discard` removes it as well. */
  readonly delivery?: Delivery
  /** What it was prepared from, to prepare it again in another HTTP process. */
  readonly place?: Place
}

/** Whether code that is not onnxd's serves a model. */
export function isHandler(model: Pick<PreparedModel, 'hasCode' | 'handler' | 'settings'>): boolean {
  return model.hasCode && pipelineOf(model) === undefined
}

/** An artifact: a model file from the network, alone in a private folder, removed with it. */
export interface Delivery {
  readonly folder: string
  /** The file, with a random name and the extension of its format. */
  readonly path: string
  /** The sender's file name in safe form; used as the model's name if nothing else gives one. */
  readonly fileName: string
  readonly sha256: string | undefined
}

/** What a caller requests for a model; everything else comes from its files. */
export interface Wishes extends WishedRuntime {
  readonly name?: string | undefined
  /** Chooses one of several numbered versions; for any other model it sets the version's name. */
  readonly version?: string | undefined
}

/** What to prepare, after the check that it is allowed. */
export interface Place extends Location, Wishes {
  readonly url: string
  /** Source of the name if neither the caller nor the model gives one; default: `path`. */
  readonly namedAfter?: string
}

/** @throws ServerError `BadRequestException` for a name or runtime that cannot be used. */
export function toPrepared(
  place: Place,
  found: FoundVersion,
  temporaryFolder: string | undefined,
): PreparedModel {
  const { version, isNumbered, manifestName, chosen: _chosen, ...model } = found
  const { namedAfter } = place
  const own =
    namedAfter === undefined
      ? () => nameOfPath(place.path, place.root)
      : () => nameOfFile(namedAfter)
  const name = place.name ?? manifestName ?? own()
  checkModelName(name)
  checkRuntime(place.runtime, model.runtime)
  if (model.settings.pipeline?.steps.some((step) => step.model === name) === true)
    throw new ServerError('InvalidModelException', `The pipeline ${name} has itself as a step.`)
  return {
    ...model,
    name,
    version: isNumbered ? version : (place.version ?? version),
    url: place.url,
    temporaryFolder,
    place,
  }
}

/** The caller's Python version need not match: the operator's interpreter decides the version. */
function checkRuntime(wished: string | undefined, own: string): void {
  if (wished === undefined || wished === own) return
  if (wished.startsWith('python') && own.startsWith('python')) return
  const text = `Invalid RuntimeType value: ${wished}. The runtime of this model is ${own}.`
  throw new ServerError('BadRequestException', text)
}
