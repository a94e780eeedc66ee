/** `onnxd inspect MODEL`: what a model takes and returns, and how to send it a request. */
import { stat } from 'node:fs/promises'
import path from 'node:path'
import { messageOf } from '../../errors.ts'
import { readModelFiles } from '../../model-folder/files.ts'
import type { ModelVersion } from '../../models/model-version.ts'
import { externalLocations } from '../../models/sources/external-data.ts'
import type { PreparedModel } from '../../models/sources/prepare.ts'
import { residentBytes } from '../../system/process-identity.ts'
import { responseNote } from '../image-response.ts'
import { memberOf } from '../json.ts'
import type { CommandInput, Outcome } from '../program/outcome.ts'
import { exampleCommand } from '../ready-message.ts'
import { inspectionText } from './inspection-text.ts'
import type { ExternalFile, Inspection } from './inspection.ts'
import { summarize } from './onnx-summary.ts'
import type { OnnxSummary } from './onnx-summary.ts'
import { withFiles, withServer } from './private-server.ts'

/** The URL in the ready `curl` line: the default of `onnxd serve`. */
const USUAL_URL = 'http://127.0.0.1:8080'

/** @throws ServerError if the files cannot be read as a model. */
export async function inspectModel(input: CommandInput): Promise<Outcome> {
  const [model = ''] = input.args
  const isLoaded = input.flags['no-load'] !== true
  const files = await withFiles(model, input.signal, (versions) =>
    Promise.all(versions.map(inspectFiles)),
  )
  const data = isLoaded ? await inspectLoaded(input, model, files) : files
  const text = data.map((one) => inspectionText(one, input.terminal)).join('\n')
  const isRefused = data.some(({ load }) => load?.ok === false)
  return { data: data.length === 1 ? data[0] : data, text, code: isRefused ? 1 : 0 }
}

async function inspectFiles(prepared: PreparedModel): Promise<Inspection> {
  const { name, version, runtime, modelPath, settings } = prepared
  const handler = prepared.handler || settings.handler || 'onnx'
  const { onnxFile } = await readModelFiles(modelPath, prepared.handler || undefined)
  const base = { model: name, version, runtime, handler }
  if (onnxFile === undefined) return { ...base, inputs: undefined, outputs: undefined }
  let summary: OnnxSummary | undefined
  try {
    summary = summarize(onnxFile)
  } catch (error) {
    const { size } = await stat(onnxFile)
    const file = { name: path.basename(onnxFile), bytes: size, external: [] }
    const load = { ok: false, reason: messageOf(error) }
    return { ...base, file, inputs: undefined, outputs: undefined, load }
  }
  const names = await externalLocations(onnxFile)
  const external = await Promise.all(
    names.map(async (location): Promise<ExternalFile> => {
      const found = await stat(path.join(path.dirname(onnxFile), location)).catch(() => undefined)
      return { name: location, ...(found !== undefined && { bytes: found.size }) }
    }),
  )
  const { size } = await stat(onnxFile)
  return {
    ...base,
    file: { name: path.basename(onnxFile), bytes: size, external, summary },
    inputs: summary.inputs,
    outputs: summary.outputs,
  }
}

async function inspectLoaded(
  input: CommandInput,
  model: string,
  files: readonly Inspection[],
): Promise<Inspection[]> {
  return withServer(input, [model], async ({ server, loadMs }) => {
    const [failure] = server.failed
    if (failure !== undefined) {
      const load = { ok: false, reason: failure.reason }
      return files.map((file) => ({ ...file, load }))
    }
    return Promise.all(
      files.map(async (file) => {
        const version = server.loaded.find((one) => one.version === file.version)
        return version === undefined ? file : addLoaded(file, version, loadMs)
      }),
    )
  })
}

async function addLoaded(file: Inspection, version: ModelVersion, ms: number): Promise<Inspection> {
  const { metadata } = version
  const [worker] = version.status.workers
  const pid = worker?.worker.pid
  const memoryBytes = pid === undefined ? 0 : await residentBytes(pid)
  const batching = memberOf(metadata, 'batching')
  const reason = memberOf(batching, 'reason')
  const joins = memberOf(batching, 'joins')
  const handler = memberOf(metadata, 'handler')
  const note = responseNote(metadata)
  const curl = await exampleCommand(version, USUAL_URL)
  return {
    ...file,
    handler: typeof handler === 'string' ? handler : file.handler,
    inputs: memberOf(metadata, 'inputs') ?? file.inputs,
    outputs: memberOf(metadata, 'outputs') ?? file.outputs,
    load: {
      ok: true,
      ms: Math.round(ms),
      memoryBytes,
      ...(batching !== undefined && {
        batching: `${joins === true ? 'yes' : 'no'}${typeof reason === 'string' ? `: ${reason}` : ''}`,
      }),
    },
    ...(curl !== undefined && { curl }),
    ...(note !== undefined && { response: note }),
  }
}
