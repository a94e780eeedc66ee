/** `onnxd check`: whether models and configurations can be served, and what to change. */
import { readdir, readFile, realpath, stat } from 'node:fs/promises'
import path from 'node:path'
import { ConfigError, messageOf } from '../../errors.ts'
import { MANIFEST_FILE, MODEL_SETTINGS_FILE, isNetworkFile } from '../../model-folder/paths.ts'
import { MODEL_CONFIG_FILE } from '../../models/sources/config-pbtxt/model-config.ts'
import type { PreparedModel } from '../../models/sources/prepare.ts'
import { listStore } from '../../models/sources/store/listing.ts'
import type { CommandInput, Outcome } from '../program/outcome.ts'
import { durationText } from '../terminal/units.ts'
import { checkConfig, configKind, withLines } from './check-config.ts'
import { reportText } from './check-report.ts'
import type { Checked, Finding } from './check-report.ts'
import { checkDeeply, deepCheckMs, hasProblem } from './deep.ts'
import { checkedPipeline, findSteps } from './pipeline-steps.ts'
import type { FoundSteps } from './pipeline-steps.ts'
import { withFiles, withServer } from './private-server.ts'
import { foreignFile, remedyFor } from './remedies.ts'

/** Files of a folder that belongs to one model. */
const OF_ONE_MODEL: readonly string[] = [
  MODEL_SETTINGS_FILE,
  MODEL_CONFIG_FILE,
  path.dirname(MANIFEST_FILE),
]

/** @throws ConfigError if a path does not exist, or for flags that do not fit together. */
export async function checkFiles(input: CommandInput): Promise<Outcome> {
  if (input.flags.deep === true && input.flags['no-load'] === true)
    throw new ConfigError('Use either --deep or --no-load.')
  // Fails before models are loaded.
  deepCheckMs(input)
  const checked: Checked[] = []
  for (const argument of input.args) checked.push(...(await checkPath(argument, input)))
  return {
    data: { ok: !checked.some(({ ok }) => ok === false), checked },
    text: reportText(checked, input.terminal),
    code: checked.some(({ ok }) => ok === false) ? 1 : 0,
  }
}

async function checkPath(argument: string, input: CommandInput): Promise<Checked[]> {
  const found = await stat(argument).catch(() => undefined)
  if (found === undefined) throw new ConfigError(`The file or folder ${argument} does not exist.`)
  if (found.isFile()) {
    if (configKind(argument) !== undefined) return [await checkConfig(argument, input.environment)]
    const isSettings = path.basename(argument) === MODEL_SETTINGS_FILE
    return [await checkModel(isSettings ? path.dirname(argument) : argument, input)]
  }
  if (!found.isDirectory())
    throw new ConfigError(`${argument} is neither a file nor a folder, so it cannot be checked.`)
  if (await isOneModel(argument)) return [await checkModel(argument, input)]
  return checkStore(argument, input)
}

/** A folder of one model; otherwise it is a store of models. */
async function isOneModel(folder: string): Promise<boolean> {
  const names = await readdir(folder)
  if (names.some((name) => OF_ONE_MODEL.includes(name) || /^\d+$/.test(name))) return true
  const networks = names.filter(isNetworkFile)
  return networks.length === 1 && (await listStore(folder)).length === 1
}

async function checkStore(folder: string, input: CommandInput): Promise<Checked[]> {
  const models = await withoutLoops(folder, await listStore(folder))
  const names = (await readdir(folder)).filter((name) => !name.startsWith('.')).toSorted()
  const results: Checked[] = []
  const others: string[] = []
  for (const name of names) {
    const file = path.join(folder, name)
    if (models.includes(name)) results.push(await checkModel(file, input))
    else if (configKind(name) !== undefined)
      results.push(await checkConfig(file, input.environment))
    else if (foreignFile(path.extname(name)) !== undefined) results.push(notServed(file))
    else others.push(name)
  }
  if (others.length > 0) {
    const text = `not served: ${others.join(', ')}`
    results.push({ subject: 'other files', kind: 'file', ok: undefined, text, findings: [] })
  }
  if (names.length > 0) return results
  return [{ subject: folder, kind: 'store', ok: false, text: 'The folder is empty.', findings: [] }]
}

/** Leaves out links to the store itself or to a folder above it. */
async function withoutLoops(store: string, models: readonly string[]): Promise<string[]> {
  const root = await realpath(store)
  const targets = await Promise.all(
    models.map((name) => realpath(path.join(store, name)).catch(() => undefined)),
  )
  return models.filter((_, index) => !`${root}/`.startsWith(`${targets[index] ?? '-'}/`))
}

function notServed(file: string): Checked {
  const text = `not served: it is ${foreignFile(path.extname(file)) ?? 'not a model'}`
  return { subject: file, kind: 'file', ok: undefined, text, findings: [] }
}

async function checkModel(model: string, input: CommandInput): Promise<Checked> {
  const { signal } = input
  const base = { subject: model, kind: 'model' }
  let findings: Finding[] = []
  try {
    let steps: FoundSteps | undefined
    findings = await withFiles(model, signal, async (versions) => {
      steps = await findSteps(model, versions, signal)
      return configFindings(versions)
    })
    if (input.flags['no-load'] === true) {
      const text = 'the files are complete; the model was not loaded'
      return { ...base, ok: true, text, findings }
    }
    const models = [...(steps?.models ?? []), model]
    return await withServer(input, models, async ({ server, loadMs }) => {
      const failure = server.failed.find(({ url }) => url === model)
      if (failure !== undefined) throw new Error(failure.reason)
      const own =
        steps === undefined
          ? server.loaded
          : server.loaded.filter(({ prepared }) => prepared.url === model)
      const names = own.map(({ name, version }) => `${name} ${version}`).join(', ')
      const text = `served as ${names}, loaded in ${durationText(loadMs)}`
      const served = { ...base, text, findings }
      if (steps !== undefined)
        return { ...served, ...checkedPipeline(text, own, steps, server.failed) }
      if (input.flags.deep !== true) return { ...served, ok: true }
      const deep = await checkDeeply(own, input)
      return { ...served, ok: !deep.some(hasProblem), deep }
    })
  } catch (error) {
    if (signal.aborted || error instanceof ConfigError) throw error
    const text = messageOf(error).replace(/^Failed to start workers: /, '')
    const extension = foreignFile(path.extname(model))
    const remedy = extension === undefined ? remedyFor(text) : `It is ${extension}.`
    return { ...base, ok: false, text, findings, ...(remedy !== undefined && { remedy }) }
  }
}

/** The keys of `config.pbtxt` with their lines; all versions share the file. */
async function configFindings(versions: readonly PreparedModel[]): Promise<Finding[]> {
  const [first] = versions
  if (first?.triton === undefined) return []
  const { report, config } = first.triton
  const text = await configText(first.modelPath)
  return withLines(report, config.message, text)
}

/** The file stands in the folder of the model, or above its numbered version. */
async function configText(modelPath: string): Promise<string> {
  for (const folder of [
    modelPath,
    path.dirname(modelPath),
    path.dirname(path.dirname(modelPath)),
  ]) {
    const text = await readFile(path.join(folder, MODEL_CONFIG_FILE), 'utf8').catch(() => undefined)
    if (text !== undefined) return text
  }
  return ''
}
