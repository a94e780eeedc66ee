/** `onnxd logs`: the last lines of the log of a running server. */
import { setTimeout as delay } from 'node:timers/promises'
import { ConfigError } from '../../errors.ts'
import { memberOf } from '../json.ts'
import { prettyLine } from '../log-format.ts'
import { textFlag } from '../program/outcome.ts'
import type { CommandInput, Outcome } from '../program/outcome.ts'
import { printableJson } from '../terminal/terminal.ts'
import { aboutModel, pathOf } from './model-list.ts'
import { ServerClient, notOnnxd } from './server-client.ts'

const POLL_MS = 500

/** Shows lines; with `--follow`, also new ones until Ctrl-C. */
export async function showLog(input: CommandInput): Promise<Outcome> {
  const [model] = input.args
  const client = new ServerClient(input)
  const query = new URLSearchParams({ limit: linesWanted(input) })
  const level = textFlag(input, 'level')
  if (model !== undefined) query.set('model', model)
  if (level !== undefined) query.set('level', level)
  let { last, lines } = await page(client, query)
  if (lines.length === 0 && model !== undefined) await mustExist(client, model)
  if (input.flags['follow'] !== true) return { data: { lines }, text: textOf(lines, input) }
  query.set('limit', '1000')
  for (;;) {
    await input.print(textOf(lines, input))
    await delay(POLL_MS, undefined, { signal: input.signal })
    query.set('after', String(last))
    const next = await page(client, query)
    // A server that was started again counts from the beginning.
    last = next.last < last ? 0 : next.last
    lines = next.lines.filter((line) => !isOwnRequest(line))
  }
}

/** @throws Error with the name that was meant. */
async function mustExist(client: ServerClient, model: string): Promise<void> {
  const reference = { name: model, version: undefined }
  await aboutModel(client, reference, () => client.call('GET', pathOf(reference)))
}

/** Each look at the log is a request, and so a line of the log. */
function isOwnRequest(line: unknown): boolean {
  return memberOf(line, 'route') === '/logs' && memberOf(line, 'status') === 200
}

function textOf(lines: readonly unknown[], { flags, terminal }: CommandInput): string {
  const json = lines.map((line) => `${printableJson(JSON.stringify(line))}\n`)
  if (flags['json'] === true) return json.join('')
  return json.map((line) => prettyLine(line, terminal)).join('')
}

async function page(
  client: ServerClient,
  query: URLSearchParams,
): Promise<{ last: number; lines: readonly unknown[] }> {
  const content = await client.call('GET', `/logs?${query.toString()}`)
  const [last, lines] = [memberOf(content, 'last'), memberOf(content, 'lines')]
  if (typeof last !== 'number' || !Array.isArray(lines)) throw notOnnxd()
  return { last, lines }
}

function linesWanted(input: CommandInput): string {
  const text = textFlag(input, 'lines') ?? '100'
  if (/^[1-9]\d{0,2}$|^1000$/.test(text)) return text
  throw new ConfigError(
    `--lines must be a whole number from 1 to 1000, not ${JSON.stringify(text)}.`,
  )
}
