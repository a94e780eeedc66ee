/** Rollouts of made-up versions: what is saved, and what a lost version or disk does. */
import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import type { TestContext } from 'node:test'
import { ServerError } from '../../../src/errors.ts'
import { Changes } from '../../../src/models/changes.ts'
import { VersionMetrics } from '../../../src/models/metrics/version-metrics.ts'
import { ModelTable } from '../../../src/models/model-table.ts'
import type { ModelVersion } from '../../../src/models/model-version.ts'
import { ModelRollouts } from '../../../src/models/rollout/model-rollouts.ts'
import type { Agreement, AgreementSource } from '../../../src/models/rollout/running-step.ts'

const LOOK_MS = 250
const RETRY_MS = 5000
const PLAN = { to: '2', steps: [50, 100], hold: 0, max_error_rate: 0.1, max_p99_ratio: 0 }

mock.timers.enable({ apis: ['setInterval', 'setTimeout'] })

function madeUp(version: string): ModelVersion {
  const status = { wantedWorkers: 1, residency: undefined }
  const made = { name: 'm', version, statistics: new VersionMetrics(), status }
  return made as unknown as ModelVersion
}

interface Laboratory {
  readonly table: ModelTable
  readonly changes: Changes
  readonly rollouts: ModelRollouts
  readonly one: ModelVersion
  readonly two: ModelVersion
  readonly messages: string[]
  /** Lets time pass, and then everything that it begins. */
  pass(ms?: number): Promise<void>
}

/** A model with the versions 1, which is the default, and 2. */
function laboratory(t: TestContext, agreementOf: AgreementSource = () => undefined): Laboratory {
  const messages: string[] = []
  const write = (_line: unknown, message: string): void => void messages.push(message)
  const log = { info: write, warn: write, error: write } as never
  const [table, changes] = [new ModelTable(), new Changes()]
  const rollouts = new ModelRollouts(table, changes, log, { agreementOf })
  t.after(() => rollouts.close())
  const [one, two] = [madeUp('1'), madeUp('2')]
  table.exchange([], [one, two])
  table.chooseDefault(one)
  const pass = async (ms = LOOK_MS): Promise<void> => {
    mock.timers.tick(ms)
    await new Promise((resolve) => setImmediate(resolve))
  }
  return { table, changes, rollouts, one, two, messages, pass }
}

function respond({ statistics }: ModelVersion, count: number, status = 200): void {
  for (let index = 0; index < count; index += 1) statistics.statuses.count(status)
}

const stateOf = ({ rollouts }: Laboratory): string => rollouts.of('m').state
const isNotSaved = (error: unknown): boolean =>
  error instanceof ServerError && error.type === 'StateNotSavedException'

test('responses that do not agree roll a version back; comparisons before the rollout do not count', async (t) => {
  let agreement: Agreement | undefined
  const lab = laboratory(t, (model, version) =>
    model === 'm' && version === '2' ? agreement : undefined,
  )
  await assert.rejects(
    lab.rollouts.begin('m', { ...PLAN, min_agreement: 0.99 }),
    /needs shadow traffic/,
  )
  agreement = { compared: 1000, agreed: 0 }
  await lab.rollouts.begin('m', { ...PLAN, min_agreement: 0.95 })
  respond(lab.one, 200)
  respond(lab.two, 200)
  await lab.pass()
  assert.equal(stateOf(lab), 'running')
  assert.match(lab.rollouts.of('m').waiting_for ?? '', /do not agree is not known yet$/)
  agreement = { compared: 1300, agreed: 300 }
  await lab.pass()
  assert.deepEqual([stateOf(lab), lab.rollouts.of('m').step], ['running', 2])
  agreement = { compared: 2000, agreed: 860 }
  await lab.pass()
  assert.equal(stateOf(lab), 'rolled_back')
  assert.match(
    lab.rollouts.of('m').reason,
    /^agreement: of 1000 responses of version 2, at least 9\.\d %/,
  )
  assert.equal(lab.table.chooser('m'), undefined)
  assert.deepEqual(lab.messages, ['rollout started', 'rollout goes on', 'rollout rolled back'])
})

test('a step that cannot be saved is not begun, and is tried again; a rollback is made anyway', async (t) => {
  const lab = laboratory(t)
  const fail = (): Promise<void> => Promise.reject(new Error('disk full'))
  lab.changes.save = fail
  await assert.rejects(lab.rollouts.begin('m', PLAN), isNotSaved)
  assert.deepEqual([lab.table.rollout('m'), lab.table.chooser('m')], [undefined, undefined])

  lab.changes.save = () => Promise.resolve()
  await lab.rollouts.begin('m', PLAN)
  const routing = lab.table.chooser('m')?.routing
  lab.changes.save = fail
  respond(lab.one, 200)
  respond(lab.two, 200)
  await lab.pass()
  await lab.pass()
  assert.equal(lab.rollouts.of('m').step, 1)
  assert.equal(lab.table.chooser('m')?.routing, routing)
  assert.deepEqual(lab.messages.slice(1), ['rollout could not be saved'])
  lab.changes.save = () => Promise.resolve()
  await lab.pass(RETRY_MS)
  await lab.pass()
  assert.equal(lab.rollouts.of('m').step, 2)

  lab.changes.save = fail
  await assert.rejects(lab.rollouts.pause('m', true), isNotSaved)
  await assert.rejects(lab.rollouts.abort('m'), isNotSaved)
  assert.equal(stateOf(lab), 'running')
  respond(lab.two, 200, 500)
  await lab.pass()
  assert.equal(stateOf(lab), 'rolled_back')
  assert.equal(lab.table.chooser('m'), undefined)
  assert.ok(lab.table.isDefault(lab.one))
})

test('a rollout ends with a version that a reload removes, and counts again if one is replaced', async (t) => {
  const lab = laboratory(t)
  const labels = { stable: '1', next: '2' }
  lab.table.route('m', { labels, weights: { stable: 1 } })
  await lab.rollouts.begin('m', PLAN)
  respond(lab.two, 30)
  await lab.pass()
  assert.equal(lab.rollouts.of('m').next?.requests, 30)
  const again = madeUp('2')
  lab.table.exchange([lab.two], [again])
  await lab.pass()
  assert.equal(lab.rollouts.of('m').next?.requests, 0)
  assert.equal(lab.two.statistics.onResponse, undefined)

  lab.table.exchange([again], [madeUp('3')])
  await lab.pass()
  assert.deepEqual(
    [stateOf(lab), lab.rollouts.of('m').reason],
    ['aborted', 'version 2 was removed'],
  )
  assert.deepEqual(lab.table.chooser('m')?.routing, {
    labels: { stable: '1' },
    weights: { stable: 1 },
  })
  await assert.rejects(lab.rollouts.abort('m'), /has ended: aborted/)
})

test('with its model, a rollout is gone; a model of the same name has none', async (t) => {
  const lab = laboratory(t)
  await lab.rollouts.begin('m', PLAN)
  lab.table.exchange([lab.one, lab.two], [])
  await lab.pass()
  assert.deepEqual(lab.rollouts.all, [])
  assert.equal(lab.two.statistics.onResponse, undefined)
  await assert.rejects(lab.rollouts.read('m'), /Model not found: m/)
  lab.table.exchange([], [madeUp('1')])
  await assert.rejects(lab.rollouts.read('m'), /Model m has no rollout\./)
})

test('a saved rollout goes on only with its versions and its routing', async (t) => {
  const lab = laboratory(t)
  await lab.rollouts.begin('m', PLAN)
  const record = lab.table.rollout('m')
  const routing = lab.table.chooser('m')?.routing
  assert.ok(record !== undefined && routing !== undefined)
  lab.rollouts.close()
  respond(lab.two, 200, 500)
  await lab.pass()
  assert.equal(stateOf(lab), 'running', 'a server that stops decides nothing')

  const next = laboratory(t)
  await next.rollouts.restore('m', record)
  assert.equal(stateOf(next), 'aborted', 'the routing is another one')
  next.table.route('m', { labels: {}, ...routing })
  await next.rollouts.restore('m', record)
  assert.equal(stateOf(next), 'running')
  respond(next.two, 200, 500)
  respond(next.one, 200)
  await next.pass()
  assert.equal(stateOf(next), 'rolled_back')

  const other = laboratory(t)
  other.table.exchange([other.two], [])
  await assert.rejects(other.rollouts.restore('m', record), /version: 2 does not exist/)
  assert.deepEqual(other.rollouts.all, [])
})

test('what a request changes while a decision is being saved stays as the request wants it', async (t) => {
  const lab = laboratory(t)
  await lab.rollouts.begin('m', PLAN)
  respond(lab.one, 200)
  respond(lab.two, 200)
  // The abort is first in the queue of changes, and the decision after it is void.
  const aborted = lab.rollouts.abort('m')
  mock.timers.tick(LOOK_MS)
  assert.equal((await aborted).state, 'aborted')
  await lab.pass()
  assert.equal(stateOf(lab), 'aborted')
  assert.equal(lab.table.chooser('m'), undefined)
})
