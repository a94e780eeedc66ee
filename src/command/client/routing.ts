/** `onnxd routing MODEL`: labels of versions, and their shares of the requests. */
import type { Routing } from '../../models/routing/routing.ts'
import type { CommandInput, Outcome } from '../program/outcome.ts'
import { tableText } from '../terminal/table.ts'
import { printable } from '../terminal/terminal.ts'
import type { Terminal } from '../terminal/terminal.ts'
import { aboutModel, pathOf } from './model-list.ts'
import { ServerClient, notOnnxd } from './server-client.ts'

/** Shows the labels and weights of a model. */
export async function showRouting(input: CommandInput): Promise<Outcome> {
  const [name = ''] = input.args
  const client = new ServerClient(input)
  const reference = { name, version: undefined }
  const data = await aboutModel(client, reference, () =>
    client.call('GET', `${pathOf(reference)}/routing`),
  )
  if (typeof data !== 'object' || data === null) throw notOnnxd()
  return { data, text: routingText(name, data, input.terminal) }
}

function routingText(model: string, routing: Routing, terminal: Terminal): string {
  const { labels = {}, weights = {}, sticky } = routing
  const names = [...new Set([...Object.keys(labels), ...Object.keys(weights)])]
  if (names.length === 0)
    return `${printable(model)} has no labels and weights. Its default version gets all requests.\n`
  const sum = Object.values(weights).reduce((total, weight) => total + weight, 0)
  const table = tableText(
    [
      { title: 'NAME', canShrink: true },
      { title: 'VERSION', canShrink: true },
      { title: 'WEIGHT', align: 'right' },
      { title: 'SHARE', align: 'right' },
    ],
    names.map((name) => {
      const weight = weights[name]
      const share = weight === undefined ? [] : [String(weight), percentText(weight / sum)]
      return [name, labels[name] ?? name, ...share]
    }),
    terminal,
  )
  const usual = sum === 0 ? 'The default version gets the requests that name no version.\n' : ''
  const [kind, key] = Object.entries(sticky ?? {})[0] ?? []
  const keys =
    kind === undefined
      ? ''
      : `Requests with the same ${kind} ${printable(String(key))} get the same version.\n`
  return table + usual + keys
}

/** `5 %`, `0.25 %`. */
function percentText(share: number): string {
  return `${Number((share * 100).toPrecision(3))} %`
}
