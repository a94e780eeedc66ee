/**
 * The text that the command prints when the server is ready: URLs, models, and a request that
 * works.
 */
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import type { Config } from '../config/config.ts'
import { isLoopback } from '../loopback.ts'
import { isNetworkFile } from '../model-folder/paths.ts'
import type { ModelVersion } from '../models/model-version.ts'
import type { RunningServer } from '../server.ts'

/** The ready message names at most this many models. */
const MAX_LISTED = 20

/** Bytes per element, by Open Inference Protocol datatype. */
const ELEMENT_BYTES: Readonly<Record<string, number>> = {
  BOOL: 1,
  INT8: 1,
  UINT8: 1,
  INT16: 2,
  UINT16: 2,
  FP16: 2,
  INT32: 4,
  UINT32: 4,
  FP32: 4,
  INT64: 8,
  UINT64: 8,
  FP64: 8,
}
/** A JSON body with more elements does not fit into a readable line. */
const MAX_JSON_ELEMENTS = 64

interface TensorInfo {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
}

/** Returns the ready message: the URLs, who can connect, the models, and a command to try. */
export async function readyText(
  { inferenceUrl, managementUrl, loaded }: RunningServer,
  config: Config,
): Promise<string> {
  const lines = [
    `onnxd is ready. Inference ${inferenceUrl}, management ${managementUrl}`,
    accessText(config),
    '',
  ]
  for (const model of loaded.slice(0, MAX_LISTED)) {
    lines.push(`  ${model.name} ${model.version}   POST ${inferenceUrl}/predictions/${model.name}`)
  }
  const others = loaded.length - MAX_LISTED
  if (others > 0) lines.push(`  and ${others} more; GET ${managementUrl}/models lists them`)
  const [first] = loaded
  if (first === undefined)
    lines.push(
      '  No model is loaded yet. Register one with POST /models on the management listener.',
    )
  else lines.push('', 'Try it:', '', `  ${await exampleCommand(first, inferenceUrl)}`)
  return `${lines.join('\n')}\n\n`
}

/** Says who can connect to which listener. */
function accessText({
  host,
  managementHost,
  managementToken,
}: Pick<Config, 'host' | 'managementHost' | 'managementToken'>): string {
  const token = managementToken === '' ? 'without a token' : 'with the token'
  return `Open to: inference ${audienceOf(host)}; management ${audienceOf(managementHost)}, ${token}`
}

function audienceOf(host: string): string {
  return isLoopback(host) ? 'this machine' : `the network (${host})`
}

/**
 * Returns a `curl` command that the model answers with 200. It sends a sample from the model's
 * folder, or zeros of the right shape if the folder has no sample.
 */
export async function exampleCommand(
  { name, prepared, metadata, status }: ModelVersion,
  inferenceUrl: string,
): Promise<string> {
  const url = `${inferenceUrl}/predictions/${name}`
  const sample = await findSample(prepared.modelPath)
  if (sample?.endsWith('.json') === true)
    return `curl -H 'Content-Type: application/json' -d @${quote(sample)} ${url}`
  if (sample !== undefined) return `curl -F ${quote(`image=@${sample}`)} ${url}`
  // The metadata of a model that is loaded on demand says what it takes.
  if (metadata === undefined && status.residency !== undefined)
    return `curl ${inferenceUrl}/v2/models/${name}`
  const inputs = inputsOf(metadata)
  const [only, ...others] = inputs
  if (only === undefined) return `curl -X POST ${url}`
  const size = ELEMENT_BYTES[only.datatype]
  if (
    others.length === 0 &&
    size !== undefined &&
    elements(only) > MAX_JSON_ELEMENTS &&
    isDeducible(only)
  ) {
    const bytes = elements(only) * size
    return `head -c ${bytes} /dev/zero | curl -H 'Content-Type: application/octet-stream' --data-binary @- ${url}`
  }
  const body = Object.fromEntries(
    inputs.map((input) => [input.name, zeros(input.shape, input.datatype)]),
  )
  return `curl -H 'Content-Type: application/json' -d ${quote(JSON.stringify(body))} ${url}`
}

async function findSample(modelPath: string): Promise<string | undefined> {
  const folder = isNetworkFile(modelPath) ? path.dirname(modelPath) : modelPath
  for (const candidate of [path.join(folder, 'samples'), path.join(folder, '..', 'samples')]) {
    try {
      const names = (await readdir(candidate))
        .filter((name) => /\.(png|jpe?g|webp|json)$/i.test(name))
        .toSorted()
      const name = names[Math.floor((names.length * 3) / 4)]
      if (name !== undefined) return path.relative('.', path.join(candidate, name))
    } catch {
      // The folder does not exist.
    }
  }
  return undefined
}

/** Reads the inputs from the handler's metadata, which may be any value. */
function inputsOf(metadata: unknown): TensorInfo[] {
  if (typeof metadata !== 'object' || metadata === null || !('inputs' in metadata)) return []
  return Array.isArray(metadata.inputs) ? metadata.inputs.filter(isTensorInfo) : []
}

function isTensorInfo(value: unknown): value is TensorInfo {
  return (
    typeof value === 'object' &&
    value !== null &&
    'name' in value &&
    'datatype' in value &&
    'shape' in value &&
    Array.isArray(value.shape)
  )
}

function elements({ shape }: TensorInfo): number {
  return shape.reduce((product, dimension) => product * (dimension < 0 ? 1 : dimension), 1)
}

/** The shape follows from the number of raw bytes only if at most one dimension is open. */
function isDeducible({ shape }: TensorInfo): boolean {
  return shape.filter((dimension) => dimension < 0).length <= 1
}

function zeros(shape: readonly number[], datatype: string): unknown {
  const [dimension, ...rest] = shape
  if (dimension === undefined) return datatype === 'BYTES' ? '' : datatype === 'BOOL' ? false : 0
  return Array.from({ length: dimension < 0 ? 1 : dimension }, () => zeros(rest, datatype))
}

function quote(text: string): string {
  return /^[\w./@=:-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}
