import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ServerMetrics } from '../../../src/models/metrics/page.ts'
import type { ObservedRollout } from '../../../src/models/rollout/metrics.ts'
import { parseMetrics } from '../../helpers/prometheus.ts'

test('the page has the state, the share and the bounds of each rollout', async (t) => {
  const evidence = {
    criterion: 'errors' as const,
    value: 0.01,
    lower: -0.25,
    upper: 0.5,
    limit: 0.02,
    passing: 0.02,
    requests: 10,
    verdict: 'open' as const,
  }
  const rollouts: ObservedRollout[] = [
    { name: 'a', rollout: { state: 'running', to: '2', share: 5, evidence: [evidence] } },
    { name: 'b', rollout: { state: 'rolled_back', to: '1.0', share: 0 } },
  ]
  const metrics = new ServerMetrics(() => [], { rollouts: () => rollouts })
  t.after(() => metrics.close())
  const page = parseMetrics(await metrics.text())
  const found = [...page].filter(([series, value]) => series.includes('_rollout_') && value !== 0)
  assert.deepEqual(found.toSorted(), [
    ['onnxd_rollout_evidence{bound="limit",criterion="errors",model="a",version="2"}', 0.02],
    ['onnxd_rollout_evidence{bound="lower",criterion="errors",model="a",version="2"}', -0.25],
    ['onnxd_rollout_evidence{bound="upper",criterion="errors",model="a",version="2"}', 0.5],
    ['onnxd_rollout_share{model="a",version="2"}', 0.05],
    ['onnxd_rollout_state{model="a",state="running",version="2"}', 1],
    ['onnxd_rollout_state{model="b",state="rolled_back",version="1.0"}', 1],
  ])
  rollouts.length = 0
  assert.ok(
    ![...parseMetrics(await metrics.text()).keys()].some((series) => series.includes('rollout')),
  )
})
