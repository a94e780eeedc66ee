/** `onnxd types MODEL`: writes the type of a model for handlers in TypeScript. */
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { ConfigError, ServerError, fileProblem } from '../../../errors.ts'
import { isNetworkFile } from '../../../model-folder/paths.ts'
import { asPipeline } from '../../../models/model-metadata.ts'
import type { PreparedModel } from '../../../models/sources/prepare.ts'
import { memberOf } from '../../json.ts'
import type { CommandInput, Outcome } from '../../program/outcome.ts'
import { textFlag } from '../../program/outcome.ts'
import { findSteps } from '../pipeline-steps.ts'
import { withFiles, withServer } from '../private-server.ts'
import { declarationOf } from './declaration.ts'

const FILE = 'model.d.ts'

/** @throws ServerError if the model cannot be loaded; ConfigError if the file cannot be written. */
export async function writeTypes(input: CommandInput): Promise<Outcome> {
  const [model = ''] = input.args
  const metadata = await readMetadata(input, model)
  const text = declarationOf(metadata, path.basename(model))
  const file = textFlag(input, 'output') ?? defaultFile(model)
  if (file === '-') return { data: metadata, text }
  await writeFile(file, text).catch((cause: unknown) => {
    throw new ConfigError(`Cannot write ${file}: ${fileProblem(cause)}.`, { cause })
  })
  return { data: { file }, text: `${file} is written.\n` }
}

/** The file lies beside the model, so that a handler can import it. */
function defaultFile(model: string): string {
  const isFile = isNetworkFile(model) || /\.(?:mar|model|zip|tar\.gz|tgz)$/i.test(model)
  return path.join(isFile ? path.dirname(model) : model, FILE)
}

/** Loads the model with the built-in handler: its own handler may need the types. */
function readMetadata(input: CommandInput, model: string): Promise<unknown> {
  const load = async (versions: readonly PreparedModel[]): Promise<unknown> => {
    const [last] = versions.slice(-1)
    if (last === undefined) throw noTensors(model)
    const steps = await findSteps(model, [last], input.signal)
    const { image, task } = last.settings
    const builtIn = image === undefined && task === undefined ? 'onnx' : 'image'
    const options = steps === undefined ? { handler: builtIn } : {}
    return withServer(input, steps?.models ?? [], async ({ server }) => {
      const [version] = await server.registry.register([last], { options, origin: 'start' })
      const metadata = version?.metadata
      const { problem, jsonOnly, steps: parts = [] } = asPipeline(metadata) ?? {}
      if (metadata !== undefined && memberOf(metadata, 'inputs') !== undefined) return metadata
      const why = problem ?? parts.find((step) => step.problem !== undefined)?.problem ?? jsonOnly
      throw noTensors(model, why)
    })
  }
  return withFiles(model, input.signal, load, 'onnx')
}

function noTensors(model: string, why = `${model} has no inputs and outputs.`): ServerError {
  return new ServerError('InvalidModelException', why)
}
