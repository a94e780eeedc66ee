/**
 * Decides what runs a model: the built-in handlers, a custom JavaScript handler, or another runtime
 * that its manifest names.
 */
import { readdir, realpath, stat } from 'node:fs/promises'
import path from 'node:path'
import { ServerError } from '../../errors.ts'
import { BUILT_IN_HANDLERS } from '../../model-folder/files.ts'
import type { ModelFiles } from '../../model-folder/files.ts'
import type { Manifest } from '../../model-folder/manifest.ts'
import type { PipelineSettings } from '../../model-folder/pipeline-settings.ts'
import { PIPELINE_HANDLER, namesOf } from '../../model-folder/pipeline.ts'
import type { WireDialect } from '../../worker/wire/messages.ts'

/** The text about files in ORT format, the format of onnxruntime's smaller builds. */
export const ORT_FILES = '.ort files (ORT format) are not supported; use the original .onnx file'

const NODE_RUNTIME = 'node'
/** The default runtime of a manifest, as in MMS. */
const DEFAULT_RUNTIME = 'python'
const KNOWN_RUNTIME = /^(?:node|python(?:\d+(?:\.\d+)*)?)$/
const NODE_EXTENSIONS = ['.js', '.mjs', '.cjs', '.ts', '.mts']
const PYTHON_EXTENSIONS = ['.py']

/** Handler and runtime that a caller names; otherwise the model's files decide. */
export interface WishedRuntime {
  /** Overrides the handler of the files. */
  readonly handler?: string | undefined
  /** Must be the model's own runtime. If the model's files name none, this one is used. */
  readonly runtime?: string | undefined
  /** The pipeline of `model.json` or `config.pbtxt`. */
  readonly pipeline?: PipelineSettings | undefined
}

/** The handler of a model and the worker it needs. */
export interface ModelRuntime {
  /** From `model.json`, else from the manifest; `''` if neither has one. */
  readonly handler: string
  readonly runtime: string
  /** Whether it runs code that is not onnxd's. */
  readonly hasCode: boolean
  /** The server whose worker runs a Python handler, if `model.json` or the manifest says it. */
  readonly pythonWorker?: WireDialect
  /** TorchServe's wrapper around a Python handler; `''` for none. */
  readonly envelope?: string
}

/**
 * Decides what runs a model. A handler `file[:function]` must be a file of the model. Only a
 * handler of another runtime may be built into that runtime instead (TorchServe's
 * `image_classifier`).
 * @throws ServerError `InvalidModelException`, with the text of MMS where MMS has one.
 */
export async function runtimeOf(
  files: ModelFiles,
  wished: WishedRuntime = {},
): Promise<ModelRuntime> {
  const { folder, manifest, onnxFile, settings } = files
  if (manifest !== undefined) checkManifest(manifest)
  const handler = wished.handler ?? settings.handler ?? manifest?.model?.handler ?? ''
  if (BUILT_IN_HANDLERS.includes(handler) && wished.pipeline !== undefined) {
    namesOf(wished.pipeline)
    return { handler: PIPELINE_HANDLER, runtime: NODE_RUNTIME, hasCode: true }
  }
  if (BUILT_IN_HANDLERS.includes(handler)) {
    if (onnxFile === undefined) throw invalid(await nothingToServe(folder, handler, manifest))
    return { handler, runtime: NODE_RUNTIME, hasCode: false }
  }
  const [module = ''] = handler.split(':', 1)
  const wantsPython = wished.runtime?.startsWith(DEFAULT_RUNTIME) === true
  const hasPython = await hasFile(folder, module, PYTHON_EXTENSIONS)
  const isNode = await hasFile(folder, module, NODE_EXTENSIONS)
  if (isNode && !(wantsPython && hasPython)) {
    return { handler, runtime: NODE_RUNTIME, hasCode: true }
  }
  const runtime = manifest?.runtime ?? (wantsPython ? wished.runtime : undefined) ?? DEFAULT_RUNTIME
  const mayBeBuiltIn = manifest?.runtime !== undefined && /^\w+$/.test(handler)
  if (runtime !== NODE_RUNTIME && (mayBeBuiltIn || hasPython)) {
    const pythonWorker = settings.pythonWorker ?? writerOf(manifest)
    return {
      handler,
      runtime,
      hasCode: true,
      envelope: manifest?.model?.envelope ?? '',
      ...(pythonWorker === undefined ? {} : { pythonWorker }),
    }
  }
  throw invalid(`The model has no file for its handler ${JSON.stringify(handler.slice(0, 100))}.`)
}

/**
 * Rejects an unknown runtime before any file is read.
 * @throws ServerError `BadRequestException`.
 */
export function checkRuntimeName(runtime: string): void {
  if (KNOWN_RUNTIME.test(runtime)) return
  const shown = runtime.slice(0, 100)
  const text = `Invalid RuntimeType value: ${shown}. The known runtimes are node, python, python2 and python3.`
  throw new ServerError('BadRequestException', text)
}

/** Returns the server whose archiver wrote a manifest. */
function writerOf(manifest: Manifest | undefined): WireDialect | undefined {
  if (manifest?.archiverVersion !== undefined || manifest?.createdOn !== undefined) {
    return 'torchserve'
  }
  const isOfMms =
    manifest?.specificationVersion !== undefined || manifest?.implementationVersion !== undefined
  return isOfMms ? 'mms' : undefined
}

function checkManifest(manifest: Manifest): void {
  const { engine, model, runtime } = manifest
  if (runtime !== undefined && !KNOWN_RUNTIME.test(runtime)) {
    throw invalid('Runtime is not defined or invalid.')
  }
  if (engine !== undefined && !engine.engineName) {
    throw invalid('engineName is required in <engine>.')
  }
  if ([manifest, model ?? {}].some((part) => Object.hasOwn(part, '__proto__'))) {
    throw invalid('The manifest has a key with the forbidden name __proto__.')
  }
}

async function nothingToServe(
  folder: string,
  handler: string,
  manifest: Manifest | undefined,
): Promise<string> {
  // A built-in handler that is named needs the file, whatever the manifest says.
  if (manifest === undefined || handler !== '') {
    const hasOrt = (await readdir(folder)).some((name) => name.endsWith('.ort'))
    return `The model has no .onnx file.${hasOrt ? ` ${ORT_FILES}.` : ''}`
  }
  return manifest.model === undefined
    ? 'Missing Model entry in manifest file.'
    : 'Model handler is not defined.'
}

/**
 * Whether `module` is a file of the model, with or without its extension. Links must not lead out.
 */
async function hasFile(
  folder: string,
  module: string,
  extensions: readonly string[],
): Promise<boolean> {
  if (path.isAbsolute(module) || /[\p{Cc}\\]/u.test(module)) return false
  const root = await realpath(folder)
  const candidates = extensions.includes(path.extname(module))
    ? [module]
    : extensions.map((extension) => module + extension)
  for (const candidate of candidates) {
    const file = await existingFile(path.join(root, candidate))
    if (file?.startsWith(root + path.sep) === true) return true
  }
  return false
}

async function existingFile(file: string): Promise<string | undefined> {
  try {
    return (await stat(file)).isFile() ? await realpath(file) : undefined
  } catch {
    return undefined
  }
}

function invalid(message: string): ServerError {
  return new ServerError('InvalidModelException', message)
}
