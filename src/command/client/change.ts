/** `onnxd scale`, `onnxd default` and `onnxd rm`. */
import { ConfigError } from '../../errors.ts'
import type { CommandInput, Outcome } from '../program/outcome.ts'
import { plural } from '../terminal/units.ts'
import { aboutModel, parseReference, pathOf } from './model-list.ts'
import { ServerClient } from './server-client.ts'

/** Changes the number of workers and waits until they are ready. */
export async function scaleModel(input: CommandInput): Promise<Outcome> {
  const [model = '', least = '', most = least] = input.args
  const [min, max] = [wholeNumber(least, 'N'), wholeNumber(most, 'MAX')]
  if (max < min)
    throw new ConfigError(`MAX is ${max} but must not be less than N, which is ${min}.`)
  const client = new ServerClient(input)
  const reference = parseReference(model)
  const query = `min_worker=${min}&max_worker=${max}&synchronous=true`
  input.progress(`${model}: waiting for ${plural(min, 'worker')}`)
  const data = await aboutModel(client, reference, () =>
    client.call('PUT', `${pathOf(reference)}?${query}`),
  )
  return { data, text: `${model} has ${plural(min, 'worker')}.\n` }
}

/** Makes a version the default. */
export async function setDefault(input: CommandInput): Promise<Outcome> {
  const [name = '', version] = input.args
  const client = new ServerClient(input)
  const reference = { name, version }
  const data = await aboutModel(client, reference, () =>
    client.call('PUT', `${pathOf(reference)}/set-default`),
  )
  return { data, text: `${version ?? ''} is the default version of ${name}.\n` }
}

/** Unregisters models, one after the other. */
export async function removeModels(input: CommandInput): Promise<Outcome> {
  const client = new ServerClient(input)
  for (const model of input.args) {
    const reference = parseReference(model)
    input.progress(`${model}: waiting for its requests to finish`)
    await aboutModel(client, reference, () => client.call('DELETE', pathOf(reference)))
  }
  const text = input.args.map((model) => `${model} is unregistered.\n`).join('')
  return { data: { removed: input.args }, text }
}

function wholeNumber(text: string, name: string): number {
  if (/^\d{1,4}$/.test(text)) return Number(text)
  throw new ConfigError(`${name} must be a whole number, not ${JSON.stringify(text)}.`)
}
