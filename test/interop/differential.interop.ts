/**
 * Sends the same requests to MMS and to onnxd, with the same archives and the same Python worker.
 * Every difference must be a known one, and every known difference must occur.
 */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import test from 'node:test'
import { needsMms, startMms } from '../helpers/mms-server.ts'
import { pythonArchive, pythonWorkers } from '../helpers/python-model.ts'
import { sendRaw } from '../helpers/raw-request.ts'
import type { RawAnswer } from '../helpers/raw-request.ts'
import { serve, temporaryFolder } from '../helpers/server.ts'
import { KNOWN_DIFFERENCES } from './differences.ts'
import type { Difference } from './differences.ts'
import { CASES } from './differential-cases.ts'
import type { DifferentialCase } from './differential-cases.ts'

const COMPATIBILITY = path.join('docs', 'compatibility.md')
const REPORT = path.join('docs', 'interop.md')
const REPORT_MARKERS = ['<!-- cases -->', '<!-- end of cases -->'] as const
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
/** It follows from the body, and says less. */
const NOT_COMPARED = new Set(['content-length', 'transfer-encoding'])

/** The two listeners of a server. */
interface Origins {
  readonly inference: string
  readonly management: string
}

test(
  'MMS and onnxd differ in what the documentation says, and in nothing else',
  { skip: needsMms },
  async (t) => {
    assert.ok(CASES.length >= 60, `${CASES.length} cases`)
    const mms = await startMms(t, temporaryFolder(t), path.join(pythonWorkers, 'bin', 'python'))
    const server = await serve(t, [], {
      python: pythonWorkers,
      allowHandlers: true,
      modelStore: mms.store,
      load: 'none',
    })
    const onnxd = { inference: server.inferenceUrl, management: server.managementUrl }
    const models = ['m', 'b', ...CASES.flatMap(({ model }) => model ?? [])]
    for (const name of models) pythonArchive(mms.store, { flavor: 'mms', name })
    for (const origins of [mms, onnxd]) {
      await manage(origins, 'POST', `/models?url=m.mar&${ONE_WORKER}`)
      await manage(
        origins,
        'POST',
        `/models?url=b.mar&${ONE_WORKER}&batch_size=4&max_batch_delay=400`,
      )
    }

    const seen = new Map<string, number>()
    const rows: string[] = []
    for (const one of CASES) {
      const answers = [await answersOf(mms, one), await answersOf(onnxd, one)] as const
      const differences: Difference[] = answers[0].flatMap((answer, index) =>
        compare(one, answer, answers[1][index]),
      )
      const ids = new Set(differences.map(nameOf))
      for (const id of ids) seen.set(id, (seen.get(id) ?? 0) + 1)
      rows.push(rowOf(one, answers, ids))
    }
    const documented = [...sideBySide().matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, id]) => id)
    assert.deepEqual(
      [...seen.keys()].toSorted(),
      documented.toSorted(),
      'what was seen is what is documented',
    )
    t.diagnostic(`${CASES.length} cases, ${seen.size} kinds of differences`)
    if (process.env.ONNXD_INTEROP_REPORT === '1') writeReport(rows, seen)
  },
)

const ONE_WORKER = 'initial_workers=1&synchronous=true'

async function manage(origins: Origins, method: string, route: string): Promise<void> {
  const { status, body } = await sendRaw(origins.management, { method, path: route })
  assert.equal(status, 200, `${method} ${route}: ${body.toString()}`)
}

/** Sends a case to one server; several copies of it at once where it asks for that. */
async function answersOf(origins: Origins, one: DifferentialCase): Promise<RawAnswer[]> {
  const { model, copies = 1 } = one
  if (model !== undefined) await manage(origins, 'POST', `/models?url=${model}.mar&${ONE_WORKER}`)
  const origin = one.to === 'management' ? origins.management : origins.inference
  const answers = await Promise.all(Array.from({ length: copies }, () => sendRaw(origin, one)))
  if (model !== undefined) await manage(origins, 'DELETE', `/models/${model}`)
  // Which of a batch is the first one does not matter.
  return answers.toSorted((a, b) => a.status - b.status)
}

function compare(
  one: DifferentialCase,
  mms: RawAnswer,
  onnxd: RawAnswer | undefined,
): Difference[] {
  assert.ok(onnxd !== undefined)
  const names = new Set([...Object.keys(mms.headers), ...Object.keys(onnxd.headers)])
  const pairs: [what: string, mms: string | undefined, onnxd: string | undefined][] = [
    ['status', String(mms.status), String(onnxd.status)],
    ['phrase', mms.phrase, onnxd.phrase],
    ['body', bodyOf(one, mms), bodyOf(one, onnxd)],
    ...[...names]
      .filter((name) => !NOT_COMPARED.has(name))
      .map((name): [string, string | undefined, string | undefined] => [
        `header ${name}`,
        headerOf(mms, name),
        headerOf(onnxd, name),
      ]),
  ]
  return pairs
    .filter(([, a, b]) => a !== b)
    .map(([what, a, b]) => ({
      name: one.name,
      what,
      mms: a,
      onnxd: b,
      statuses: [mms.status, onnxd.status],
    }))
}

function headerOf({ headers }: RawAnswer, name: string): string | undefined {
  // HTTP/1.1 keeps a connection unless something else is said.
  const value = headers[name] ?? (name === 'connection' ? 'keep-alive' : undefined)
  return value !== undefined && UUID.test(value) ? '(a new id)' : value
}

function bodyOf({ comparesFields }: DifferentialCase, { body }: RawAnswer): string {
  const text = body.toString('latin1')
  return comparesFields === true
    ? [...text.matchAll(/"(\w+)":/g)].map(([, key]) => key).join()
    : text
}

/** The id of a difference; fails when nobody knows it. */
function nameOf(difference: Difference): string {
  const known = KNOWN_DIFFERENCES.find(([, explains]) => explains(difference))
  assert.ok(known, `a difference that is not documented: ${JSON.stringify(difference, null, 2)}`)
  return known[0]
}

/** The part of the page on compatibility with the ids. */
function sideBySide(): string {
  const page = readFileSync(COMPATIBILITY, 'utf8')
  const start = page.indexOf('## Side by side')
  assert.notEqual(start, -1)
  const end = page.indexOf('\n## ', start + 1)
  return page.slice(start, end === -1 ? undefined : end)
}

function rowOf(
  one: DifferentialCase,
  answers: readonly [readonly RawAnswer[], readonly RawAnswer[]],
  ids: ReadonlySet<string>,
): string {
  const [mms, onnxd] = answers.map((each) =>
    [...new Set(each.map(({ status }) => status))].join(', '),
  )
  const special = [...ids].filter((id) => !EVERYWHERE.has(id)).toSorted()
  const cells = [
    `\`${one.name.replaceAll('|', String.raw`\|`)}\``,
    mms,
    onnxd,
    special.map((id) => `\`${id}\``).join(', '),
  ]
  return `| ${cells.join(' | ')} |`
}

/** In nearly every answer, so that naming them in each row would hide the others. */
const EVERYWHERE = new Set([
  'phrase',
  'date',
  'server-timing',
  'connection',
  'cache-control',
  'content-type',
])

function writeReport(rows: readonly string[], seen: ReadonlyMap<string, number>): void {
  const [begin, end] = REPORT_MARKERS
  const page = readFileSync(REPORT, 'utf8')
  const counts = [...EVERYWHERE].map((id) => `\`${id}\` (${seen.get(id) ?? 0})`).join(', ')
  const table = ['| case | MMS | onnxd | differs in |', '| --- | --- | --- | --- |', ...rows].join(
    '\n',
  )
  const text = `${CASES.length} cases. Not repeated in each row, with the number of cases: ${counts}.\n\n${table}`
  const [before = '', rest = ''] = page.split(begin)
  const after = rest.split(end)[1] ?? ''
  writeFileSync(REPORT, `${before}${begin}\n\n${text}\n\n${end}${after}`)
}
