/**
 * Expectations of the public tests of MMS and TorchServe. docs/compatibility.md lists the
 * differences.
 */
import assert from 'node:assert/strict'
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import test from 'node:test'
import type { TestContext } from 'node:test'
import { sendRaw } from '../helpers/raw-request.ts'
import { serve, temporaryFolder } from '../helpers/server.ts'
import type { PeerCase } from './peer-api-case.ts'
import { MMS_CASES } from './peer-api-mms.ts'
import { TORCHSERVE_CASES } from './peer-api-torchserve.ts'

const SECTION = '## Expectations of their own API tests'
const SUITES = [
  ['MMS', MMS_CASES, 40],
  ['TorchServe', TORCHSERVE_CASES, 30],
] as const

for (const [peer, cases, least] of SUITES) {
  test(`the API tests of ${peer}: each expectation holds or is a documented difference`, async (t) => {
    assert.ok(cases.length >= least, `${cases.length} cases`)
    const server = await serve(t, [], {
      modelStore: storeOf(t),
      load: 'none',
      allowHandlers: true,
      loadTimeout: 60,
    })
    const wrong: string[] = []
    for (const one of cases) {
      const { inferenceUrl, managementUrl } = server
      const answer = await sendRaw(one.to === 'management' ? managementUrl : inferenceUrl, {
        method: one.method ?? 'GET',
        path: one.path,
        headers: one.type === undefined ? [] : ['content-type', one.type],
        ...(one.body === undefined ? {} : { body: one.body }),
      })
      const problem = problemOf(one, answer.status, answer.body.toString())
      if (problem !== undefined) wrong.push(`${one.name}: ${problem}`)
    }
    assert.deepEqual(wrong, [])
  })
}

test('docs/compatibility.md lists the differences that these cases show, and no other', () => {
  const page = readFileSync(path.resolve('docs/compatibility.md'), 'utf8')
  const section = page.slice(page.indexOf(SECTION)).split('\n## ')[0] ?? ''
  const rows = [...section.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, id]) => id)
  const cases = SUITES.flatMap(([, each]) => each.flatMap(({ onnxd }) => onnxd?.difference ?? []))
  assert.deepEqual(rows.toSorted(), [...new Set(cases)].toSorted())
})

/** A difference must be seen: an answer as the peer's would be one too many in the table. */
function problemOf(one: PeerCase, status: number, body: string): string | undefined {
  const isAsPeer = status === one.status && (one.text === undefined || one.text.test(body))
  const { onnxd } = one
  if (onnxd === undefined) return isAsPeer ? undefined : `${status} ${body}`
  if (isAsPeer) return `is as the peer’s, which ${onnxd.difference} denies`
  const isKnown = status === onnxd.status && (onnxd.text === undefined || onnxd.text.test(body))
  return isKnown ? undefined : `${status} ${body}`
}

/** Models `noop` that answers OK, `iris`, and `broken` that cannot be loaded. */
function storeOf(t: TestContext): string {
  const store = temporaryFolder(t)
  for (const [name, code] of [
    ['noop', "export const handle = (data) => data?.map(() => 'OK')"],
    ['broken', "throw new Error('broken')"],
  ] as const) {
    mkdirSync(path.join(store, name))
    writeFileSync(path.join(store, name, 'service.mjs'), code)
    writeFileSync(path.join(store, name, 'model.json'), '{ "handler": "service.mjs:handle" }')
  }
  cpSync(path.resolve('examples/iris'), path.join(store, 'iris'), { recursive: true })
  return store
}
