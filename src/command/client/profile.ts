/** `onnxd profile MODEL`: which operators of a model take the time. */
import type { OperatorShare, ProfileSummary, SlowNode } from '../../contract/profile.ts'
import { ConfigError } from '../../errors.ts'
import { textFlag } from '../program/outcome.ts'
import type { CommandInput, Outcome } from '../program/outcome.ts'
import { bar } from '../terminal/status-line.ts'
import { tableText } from '../terminal/table.ts'
import { printable } from '../terminal/terminal.ts'
import type { Terminal } from '../terminal/terminal.ts'
import { durationText, plural, sizeText } from '../terminal/units.ts'
import { aboutModel, parseReference, pathOf } from './model-list.ts'
import { ServerClient, notOnnxd } from './server-client.ts'

const BAR_WIDTH = 20
const MAX_OPERATORS = 15
const MAX_NODES = 5

/** What the server responds with. */
interface Profile extends ProfileSummary {
  readonly modelName: string
  readonly modelVersion: string
  readonly requests: number
  readonly failed: number
}

/** @throws ConfigError for flags; Error if the model cannot be measured. */
export async function profileModel(input: CommandInput): Promise<Outcome> {
  const [model = ''] = input.args
  const runs = wholeNumber(input, 'runs', 10_000) ?? 200
  const seconds = wholeNumber(input, 'seconds', 600) ?? 10
  const client = new ServerClient(input)
  const reference = parseReference(model)
  input.progress(`measuring ${model} with its next requests, for at most ${seconds} s`)
  const data = await aboutModel(client, reference, () =>
    client.call('POST', `${pathOf(reference)}/profile?requests=${runs}&seconds=${seconds}`),
  )
  if (!isProfile(data)) throw notOnnxd()
  return { data, text: profileText(data, input.terminal) }
}

function profileText(profile: Profile, terminal: Terminal): string {
  const { modelName, modelVersion, runs, requests, failed, msPerRun, operators, nodes } = profile
  const errors = failed === 0 ? '' : `, ${plural(failed, 'error')}`
  const head = `${printable(modelName)} ${printable(modelVersion)}: ${plural(runs, 'run')} of ${plural(requests, 'request')}${errors}, ${durationText(msPerRun)} in the model\n`
  if (operators.length === 0) return `${head}No operators were measured.\n`
  const table = tableText(
    [
      { title: 'OPERATOR', canShrink: true },
      { title: 'CALLS', align: 'right' },
      { title: 'TIME', align: 'right' },
      { title: 'OUTPUTS', align: 'right' },
      { title: 'SHARE', align: 'right' },
      { title: '' },
    ],
    operators.slice(0, MAX_OPERATORS).map((one) => [one.operator, ...costOf(one)]),
    terminal,
  )
  const slowest = tableText(
    [
      { title: 'SLOWEST NODE', canShrink: true },
      { title: 'OPERATOR', canShrink: true },
      { title: 'TIME', align: 'right' },
      { title: 'SHARE', align: 'right' },
    ],
    nodes.slice(0, MAX_NODES).map(nodeRow),
    terminal,
  )
  const rest = operators.length - MAX_OPERATORS
  const more = rest > 0 ? `${plural(rest, 'operator')} more, see --json\n` : ''
  return `${head}\n${table}${more}\n${slowest}`
}

function costOf({ calls, ms, outputBytes, share }: OperatorShare): string[] {
  return [
    String(calls),
    durationText(ms),
    sizeText(outputBytes),
    percent(share),
    bar(share, BAR_WIDTH),
  ]
}

function nodeRow({ node, operator, ms, share }: SlowNode): string[] {
  return [node, operator, durationText(ms), percent(share)]
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`
}

function isProfile(data: unknown): data is Profile {
  return typeof data === 'object' && data !== null && 'operators' in data && 'nodes' in data
}

function wholeNumber(input: CommandInput, name: string, most: number): number | undefined {
  const text = textFlag(input, name)
  if (text === undefined) return undefined
  const value = /^\d{1,6}$/.test(text) ? Number(text) : 0
  if (value >= 1 && value <= most) return value
  throw new ConfigError(
    `--${name} must be a whole number from 1 to ${most}, not ${JSON.stringify(text)}.`,
  )
}
