/** Reads the flags of `onnxd archive`, under their own names and those of other archivers. */
import { ConfigError } from '../../../errors.ts'
import { checkModelName, checkModelVersion } from '../../../models/sources/model-name.ts'
import { checkRuntimeName } from '../../../models/sources/prepare.ts'
import type { CommandInput } from '../../program/outcome.ts'
import { textFlag, textFlags } from '../../program/outcome.ts'

/** Flags for files of a Python handler, with their keys in the manifest. */
const HANDLER_FILES = {
  'serialized-file': 'serializedFile',
  'model-file': 'modelFile',
  'config-file': 'configFile',
  'requirements-file': 'requirementsFile',
} as const

/** What the command line asks for. */
export interface ArchiveWishes {
  /** Path of the model; absent if all files are named by flags. */
  readonly model: string | undefined
  readonly name: string | undefined
  readonly version: string | undefined
  readonly handler: string | undefined
  readonly runtime: string | undefined
  readonly extraFiles: readonly string[]
  /** Files for TorchServe's worker, by their keys in the manifest. */
  readonly handlerFiles: Readonly<Record<string, string>>
  readonly output: string | undefined
  readonly isReplaced: boolean
  readonly isStored: boolean
}

/** @throws ConfigError for flags that do not fit together, or a name that no model can have. */
export function readWishes(input: CommandInput): ArchiveWishes {
  const model = oneOf(input, input.args[0], 'model-path')
  const name = oneOf(input, textFlag(input, 'name'), 'model-name')
  const version = textFlag(input, 'version')
  const runtime = textFlag(input, 'runtime')
  const handlerFiles: Record<string, string> = {}
  for (const [flag, key] of Object.entries(HANDLER_FILES)) {
    const file = textFlag(input, flag)
    if (file !== undefined && file !== '') handlerFiles[key] = file
  }
  const handler = textFlag(input, 'handler')
  const extraFiles = textFlags(input, 'extra-files')
    .flatMap((text) => text.split(','))
    .map((file) => file.trim())
    .filter((file) => file !== '')
  if (model === undefined && handler === undefined && Object.keys(handlerFiles).length === 0)
    throw new ConfigError('Name the folder or the file of a model. Usage: onnxd archive DIR|FILE')
  if (name !== undefined) asUsage(() => checkModelName(name))
  if (version !== undefined) asUsage(() => checkModelVersion(version))
  if (runtime !== undefined) asUsage(() => checkRuntimeName(runtime))
  return {
    model,
    name,
    version,
    handler,
    runtime,
    extraFiles,
    handlerFiles,
    output: oneOf(input, textFlag(input, 'output'), 'export-path'),
    isReplaced: input.flags['force'] === true,
    isStored: input.flags['store'] === true || isStoreFormat(input),
  }
}

function oneOf(input: CommandInput, value: string | undefined, flag: string): string | undefined {
  const other = textFlag(input, flag)
  if (value !== undefined && other !== undefined)
    throw new ConfigError(`Both ${value} and --${flag} ${other} are given. Use one of them.`)
  return value ?? other
}

function isStoreFormat(input: CommandInput): boolean {
  const format = textFlag(input, 'archive-format')
  if (format === undefined || format === 'default') return false
  if (format === 'zip-store') return true
  throw new ConfigError(
    `The archive format ${format} is not supported. Use default or zip-store, or serve the folder itself.`,
  )
}

/** The command line is wrong, not the model. */
function asUsage(check: () => void): void {
  try {
    check()
  } catch (cause) {
    throw new ConfigError(cause instanceof Error ? cause.message : String(cause), { cause })
  }
}
