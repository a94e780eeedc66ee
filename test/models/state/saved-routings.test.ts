import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Changes } from '../../../src/models/changes.ts'
import { VersionMetrics } from '../../../src/models/metrics/version-metrics.ts'
import { ModelTable } from '../../../src/models/model-table.ts'
import type { ModelVersion } from '../../../src/models/model-version.ts'
import type { Registry } from '../../../src/models/registry.ts'
import { ModelRollouts } from '../../../src/models/rollout/model-rollouts.ts'
import { checkPlan } from '../../../src/models/rollout/plan.ts'
import { beginRollout, end, routingOf } from '../../../src/models/rollout/rollout.ts'
import { ModelRouting } from '../../../src/models/routing/model-routing.ts'
import { SavedRoutings } from '../../../src/models/state/saved-routings.ts'

const RECORD = beginRollout(checkPlan({ to: '2', steps: [5] }), ['1'], undefined, 't0')
const ENDED = end(RECORD, 'rolled_back', 'bad', 't1')
const routing = routingOf(RECORD) ?? {}
const STATE = {
  routings: [
    { name: 'gone', routing },
    { name: 'here', routing },
  ],
  rollouts: [
    { name: 'ended', rollout: ENDED },
    { name: 'gone', rollout: RECORD },
    { name: 'here', rollout: RECORD },
  ],
}

/** A start that has loaded these versions. */
function started(versions: readonly (readonly [name: string, version: string])[]) {
  const problems: string[] = []
  const log = {
    info: () => {},
    warn: () => {},
    error: (_: unknown, text: string) => problems.push(text),
  }
  const [table, changes] = [new ModelTable(), new Changes()]
  for (const [name, version] of versions) {
    const made = { name, version, statistics: new VersionMetrics(), status: { wantedWorkers: 1 } }
    table.exchange([], [made as unknown as ModelVersion])
  }
  const rollouts = new ModelRollouts(table, changes, log as never, { agreementOf: () => undefined })
  const registry = { routing: new ModelRouting(table, changes), rollouts } as Registry
  return { table, rollouts, problems, saved: new SavedRoutings(registry, log as never) }
}

const byName = <T extends { readonly name: string }>(list: readonly T[] = []): T[] =>
  list.toSorted((one, other) => one.name.localeCompare(other.name))

test('rollouts go on with their routing; those of versions that are not there stay in the file', async (t) => {
  const { table, rollouts, problems, saved } = started([
    ['ended', '1'],
    ['here', '1'],
    ['here', '2'],
    ['gone', '1'],
  ])
  t.after(() => rollouts.close())
  saved.take(STATE)
  assert.deepEqual(saved.current, STATE, 'a save before the end of the start loses nothing')
  await saved.restore()
  assert.deepEqual(table.chooser('here')?.routing, routing)
  assert.equal(rollouts.of('here').state, 'running')
  assert.equal(rollouts.of('ended').state, 'rolled_back')
  assert.equal(table.chooser('gone'), undefined)
  assert.deepEqual(problems, ['routing could not be restored', 'rollout could not be restored'])
  assert.deepEqual(byName(saved.current.routings), STATE.routings)
  assert.deepEqual(byName(saved.current.rollouts), STATE.rollouts)

  const undo = saved.forget('gone')
  assert.deepEqual(byName(saved.current.rollouts), [STATE.rollouts[0], STATE.rollouts[2]])
  undo()
  assert.deepEqual(byName(saved.current.rollouts), STATE.rollouts)
})
