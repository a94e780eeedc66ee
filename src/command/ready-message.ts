/**
 * The text that the command prints when the server is ready: URLs, models, and a request that
 * works.
 */
import { readdir } from 'node:fs/promises'
import path from 'node:path'
import type { Config } from '../config/config.ts'
import { isLoopback } from '../loopback.ts'
import { isNetworkFile } from '../model-folder/paths.ts'
import { shortTextExample } from '../models/examples/text-examples.ts'
import { asHandlerMetadata } from '../models/model-metadata.ts'
import type { ModelVersion } from '../models/model-version.ts'
import type { ServerAccess } from '../routes/http/access/server-access.ts'
import type { RunningServer } from '../server.ts'
import { inputsOf, zerosOf } from './example-inputs.ts'
import { isImageModel, responseNote } from './image-response.ts'
import { printableJson } from './terminal/terminal.ts'

const JSON_TYPE = 'application/json'
/** Content types of samples; all others are images. */
const SAMPLE_TYPES: ReadonlyMap<string, string> = new Map([
  ['.json', JSON_TYPE],
  ['.txt', 'text/plain'],
  ['.csv', 'text/csv'],
])

/** The ready message names at most this many models. */
const MAX_LISTED = 20

/** Returns the ready message: the URLs, who can connect, the models, and a command to try. */
export async function readyText(
  { inferenceUrl, managementUrl, grpcAddress, loaded, access }: RunningServer,
  config: Config,
): Promise<string> {
  const lines = [
    'onnxd is ready.',
    `Inference ${inferenceUrl}, management ${managementUrl}`,
    accessText(config, access),
    ...(grpcAddress === undefined ? [] : [grpcText(grpcAddress, config)]),
    '',
  ]
  const listed = loaded.slice(0, MAX_LISTED)
  const width = Math.max(0, ...listed.map(({ name, version }) => `${name} ${version}`.length))
  for (const { name, version } of listed) {
    lines.push(`  ${`${name} ${version}`.padEnd(width)}   POST ${inferenceUrl}/predictions/${name}`)
  }
  const others = loaded.length - MAX_LISTED
  if (others > 0) lines.push(`  and ${others} more; GET ${managementUrl}/models lists them`)
  const [first] = loaded
  if (first === undefined)
    lines.push('  No model is loaded yet. Add one from another terminal: onnxd load model.onnx')
  else {
    const note = responseNote(first.metadata)
    const command = await exampleCommand(first, inferenceUrl)
    const isGuarded = access.tokens?.guards('inference') ?? false
    lines.push('', 'Try it:', '', `  ${isGuarded ? withToken(command) : command}`)
    if (note !== undefined) lines.push('', `  ${note}`)
  }
  return `${lines.join('\n')}\n\n`
}

/** Says who can connect to which listener. */
function accessText(
  { host, managementHost }: Pick<Config, 'host' | 'managementHost'>,
  { tokens }: ServerAccess,
): string {
  const inference = tokens?.guards('inference') ? ', with a token' : ''
  const management = tokens?.guards('management') ? 'with a token' : 'without a token'
  return `Open to: inference ${audienceOf(host)}${inference}; management ${audienceOf(managementHost)}, ${management}`
}

function grpcText(address: string, { host, grpcHost }: Config): string {
  return `gRPC ${address}, open to ${audienceOf(grpcHost || host)}`
}

function audienceOf(host: string): string {
  return isLoopback(host) ? 'this machine' : `the network (${host})`
}

/**
 * Returns a `curl` command that the model answers with 200. It sends a sample from the model's
 * folder. Without a sample, a model for texts gets a text, and any other zeros of the right shape.
 */
export async function exampleCommand(
  { name, prepared, metadata, status }: ModelVersion,
  inferenceUrl: string,
): Promise<string> {
  const url = `${inferenceUrl}/predictions/${name}`
  const sample = await findSample(prepared.modelPath)
  // The user has photographs; zeros are no image.
  if (sample === undefined && isImageModel(metadata)) return `curl -T photo.jpg ${url}`
  if (sample?.endsWith('.json') === true)
    return `curl -H 'Content-Type: application/json' -d @${quote(sample)} ${url}`
  if (sample !== undefined) return `curl -F ${quote(`image=@${sample}`)} ${url}`
  // The metadata of a model that is loaded on demand says what it takes.
  if (metadata === undefined && status.residency !== undefined)
    return `curl ${inferenceUrl}/v2/models/${name}`
  const text = asHandlerMetadata(metadata)?.text
  if (text !== undefined) return jsonCommand(JSON.stringify(shortTextExample(text)), url)
  const inputs = inputsOf(metadata)
  if (inputs.length === 0) return `curl -X POST ${url}`
  const example = zerosOf(inputs)
  return 'json' in example
    ? jsonCommand(example.json, url)
    : `head -c ${example.bytes} /dev/zero | curl -H 'Content-Type: application/octet-stream' --data-binary @- ${url}`
}

/** The command reads the token from a variable of the shell. */
function withToken(command: string): string {
  return command.replace('curl ', `curl -H "Authorization: Bearer $TOKEN" `)
}

function jsonCommand(json: string, url: string): string {
  return `curl -H 'Content-Type: application/json' -d ${quote(printableJson(json))} ${url}`
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

function quote(text: string): string {
  return /^[\w./@=:-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}
