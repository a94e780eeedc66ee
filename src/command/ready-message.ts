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
  else lines.push('', ...(await exampleLines(listed, first, inferenceUrl, access)))
  return `${lines.join('\n')}\n\n`
}

/** A command for the first model whose requests are known. */
async function exampleLines(
  models: readonly ModelVersion[],
  first: ModelVersion,
  inferenceUrl: string,
  { tokens }: ServerAccess,
): Promise<string[]> {
  for (const model of models) {
    const command = await exampleCommand(model, inferenceUrl)
    if (command === undefined) continue
    const note = responseNote(model.metadata)
    const isGuarded = tokens?.guards('inference') ?? false
    const lines = ['Try it:', '', `  ${isGuarded ? withToken(command) : command}`]
    return note === undefined ? lines : [...lines, '', `  ${note}`]
  }
  return [unknownRequest(first.name)]
}

/** What is shown in place of {@link exampleCommand}. */
export function unknownRequest(model: string): string {
  return `The requests of ${model} are known to its handler only. A file in its folder samples (.json, .txt, .csv or an image) is shown here as an example.`
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
 * Returns `undefined` if only a handler knows what its requests are.
 */
export async function exampleCommand(
  { name, prepared, metadata, status }: ModelVersion,
  inferenceUrl: string,
): Promise<string | undefined> {
  const url = `${inferenceUrl}/predictions/${name}`
  const sample = await findSample(prepared.modelPath)
  // The user has photographs; zeros are no image.
  if (sample === undefined && isImageModel(metadata)) return `curl -T photo.jpg ${url}`
  const type = SAMPLE_TYPES.get(path.extname(sample ?? '').toLowerCase())
  if (sample !== undefined && type !== undefined) {
    const option = type === JSON_TYPE ? '-d' : '--data-binary'
    return `curl -H 'Content-Type: ${type}' ${option} @${quote(sample)} ${url}`
  }
  if (sample !== undefined) return `curl -F ${quote(`image=@${sample}`)} ${url}`
  // The metadata of a model that is loaded on demand says what it takes.
  if (metadata === undefined && status.residency !== undefined)
    return `curl ${inferenceUrl}/v2/models/${name}`
  const known = asHandlerMetadata(metadata)
  if (known?.text !== undefined)
    return jsonCommand(JSON.stringify(shortTextExample(known.text)), url)
  const inputs = inputsOf(metadata)
  // An empty request fits a model without inputs, but hardly a handler that describes none.
  if (inputs.length === 0) return known === undefined ? undefined : `curl -X POST ${url}`
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
  return `curl -H 'Content-Type: ${JSON_TYPE}' -d ${quote(printableJson(json))} ${url}`
}

async function findSample(modelPath: string): Promise<string | undefined> {
  const folder = isNetworkFile(modelPath) ? path.dirname(modelPath) : modelPath
  for (const candidate of [path.join(folder, 'samples'), path.join(folder, '..', 'samples')]) {
    try {
      const names = (await readdir(candidate))
        .filter((name) => /\.(png|jpe?g|webp|json|txt|csv)$/i.test(name))
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
