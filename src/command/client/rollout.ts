/** `onnxd rollout MODEL`: begins, shows, pauses and aborts the rollout of a model. */
import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { ConfigError } from '../../errors.ts'
import type { ShownRollout } from '../../models/rollout/shown-rollout.ts'
import { memberOf } from '../json.ts'
import { textFlag } from '../program/outcome.ts'
import type { CommandInput, Outcome } from '../program/outcome.ts'
import { bar } from '../terminal/status-line.ts'
import { fieldsText, tableText } from '../terminal/table.ts'
import { printable, printableJson } from '../terminal/terminal.ts'
import type { Terminal } from '../terminal/terminal.ts'
import { countText, plural } from '../terminal/units.ts'
import { aboutModel, pathOf } from './model-list.ts'
import { ServerClient, notOnnxd } from './server-client.ts'
import type { RequestBody } from './server-client.ts'

const POLL_MS = 500
const BAR_WIDTH = 20
/** Flags of the plan, and the members that they set. */
const PLAN_FLAGS = {
  hold: 'hold',
  'max-error-rate': 'max_error_rate',
  'max-p99-ratio': 'max_p99_ratio',
  'min-agreement': 'min_agreement',
} as const
const ACTIONS = ['to', 'abort', 'pause', 'resume'] as const

/** @throws ConfigError for flags; Error if the server refuses. */
export async function rollOut(input: CommandInput): Promise<Outcome> {
  const [name = ''] = input.args
  const [method, body] = requestOf(input)
  const client = new ServerClient(input)
  const reference = { name, version: undefined }
  const path = `${pathOf(reference)}/rollout`
  const first = await aboutModel(client, reference, () => client.call(method, path, body))
  if (!isRollout(first)) throw notOnnxd()
  if (input.flags['watch'] === true) return watch(input, client, path, first)
  return { data: first, text: rolloutText(name, first, input.terminal) }
}

/** Prints each event, until the rollout ends. */
async function watch(
  input: CommandInput,
  client: ServerClient,
  path: string,
  first: ShownRollout,
): Promise<Outcome> {
  let last = ''
  for (let rollout = first; ;) {
    const events = rollout.history.filter(({ at }) => at > last)
    last = events.at(-1)?.at ?? last
    for (const event of events) await input.print(eventLine(event, input.flags['json'] === true))
    if (!isActive(rollout)) {
      const code = rollout.state === 'promoted' ? 0 : 1
      return { data: rollout, text: '', code }
    }
    input.progress(
      `step ${rollout.step} of ${rollout.steps.length}, ${rollout.share} %: ${rollout.waiting_for ?? ''}`,
    )
    await delay(POLL_MS, undefined, { signal: input.signal })
    const next = await client.call('GET', path)
    if (!isRollout(next)) throw notOnnxd()
    rollout = next
  }
}

/** @throws ConfigError */
function requestOf(input: CommandInput): [method: string, body?: RequestBody] {
  const { flags } = input
  const [action, second] = ACTIONS.filter((flag) => flags[flag] !== undefined)
  if (second !== undefined)
    throw new ConfigError(`--${String(action)} and --${second} cannot be used together.`)
  const plan = planOf(input)
  if (action === 'to') return ['POST', jsonBody({ to: textFlag(input, 'to'), ...plan })]
  const [member] = Object.keys(plan)
  if (member !== undefined)
    throw new ConfigError(`--${member.replaceAll('_', '-')} is for a new rollout, with --to.`)
  if (action === 'abort') return ['DELETE']
  if (action === undefined) return ['GET']
  return ['PUT', jsonBody({ paused: action === 'pause' })]
}

function planOf(input: CommandInput): Readonly<Record<string, unknown>> {
  const plan: Record<string, unknown> = {}
  const steps = textFlag(input, 'steps')
  if (steps !== undefined) plan['steps'] = steps.split(',').map((text) => numberOf('steps', text))
  for (const [flag, member] of Object.entries(PLAN_FLAGS)) {
    const text = textFlag(input, flag)
    if (text !== undefined) plan[member] = numberOf(flag, text)
  }
  return plan
}

function numberOf(flag: string, text: string): number {
  if (/^\s*\d+(?:\.\d+)?\s*$/.test(text)) return Number(text)
  const kind = flag === 'steps' ? 'percentages such as 1,5,25,100' : 'a number'
  throw new ConfigError(`--${flag} must be ${kind}, not ${JSON.stringify(text)}.`)
}

function jsonBody(value: object): RequestBody {
  const text = JSON.stringify(value)
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }
  return { headers, stream: Readable.from([text]) }
}

function rolloutText(model: string, rollout: ShownRollout, terminal: Terminal): string {
  const { state, to, from, step, steps, share, evidence = [] } = rollout
  const fields: [string, string][] = [
    ['model', `${model}: ${from.join(', ')} to ${to}`],
    ['state', `${state.replaceAll('_', ' ')}: ${rollout.reason}`],
    ['share', `${bar(share / 100, BAR_WIDTH)} ${share} %`],
  ]
  if (isActive(rollout)) {
    fields.push(['step', `${step} of ${steps.length}: ${steps.join(', ')} %`])
    const present = from.join(', ')
    for (const [version, counts] of [
      [to, rollout.next],
      [present, rollout.present],
    ] as const) {
      const { requests = 0, errors = 0 } = counts ?? {}
      fields.push([version, `${plural(requests, 'request')}, ${countText(errors)} failed`])
    }
    fields.push(['waits', rollout.waiting_for ?? ''])
  }
  const table = tableText(
    [
      { title: 'CRITERION' },
      { title: 'REQUESTS', align: 'right' },
      { title: 'AT LEAST', align: 'right' },
      { title: 'AT MOST', align: 'right' },
      { title: 'LIMIT', align: 'right' },
      { title: 'PASSES AT', align: 'right' },
      { title: 'VERDICT' },
    ],
    evidence.map(({ criterion, requests, lower, upper, limit, passing, verdict }) => [
      criterion,
      countText(requests),
      percent(lower),
      percent(upper),
      percent(limit),
      percent(passing),
      verdict,
    ]),
    terminal,
  )
  return `${fieldsText(fields, terminal)}${evidence.length === 0 ? '' : `\n${table}`}`
}

function eventLine(event: ShownRollout['history'][number], isJson: boolean): string {
  if (isJson) return `${printableJson(JSON.stringify(event))}\n`
  const name = event.event.replaceAll('_', ' ').padEnd(12)
  return `${event.at.slice(11, 19)}  ${name}${String(event.share).padStart(4)} %  ${printable(event.reason)}\n`
}

function percent(share: number): string {
  return `${(Math.max(0, share) * 100).toFixed(2)} %`
}

function isActive({ state }: ShownRollout): boolean {
  return state === 'running' || state === 'paused'
}

/** Whether a value has the members that are read. A server of another kind has not. */
function isRollout(value: unknown): value is ShownRollout {
  return (
    typeof memberOf(value, 'state') === 'string' &&
    Array.isArray(memberOf(value, 'history')) &&
    Array.isArray(memberOf(value, 'steps'))
  )
}
