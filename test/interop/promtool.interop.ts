/**
 * Checks the metrics of a server that has handled requests with Prometheus' promtool. It may
 * complain only about names of TorchServe's metrics.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { test } from 'node:test'
import { serve } from '../helpers/server.ts'

/** TorchServe's names, which its dashboards ask for: counters without `_total`, in microseconds. */
const NAMES_OF_TORCHSERVE = /^(ts_\w+|Requests[245]XX) (counter metrics should have|use base unit)/

const promtool = process.env['ONNXD_INTEROP_PROMTOOL'] ?? 'promtool'

test(
  'D6: promtool finds nothing wrong in /metrics but the names of TorchServe',
  { skip: spawnSync(promtool, ['--version']).status !== 0 && 'needs promtool, of Prometheus' },
  async (t) => {
    const server = await serve(t, [path.resolve('examples/iris')])
    for (const body of ['[[1,2,3,4]]', 'no JSON']) {
      await server.fetch('/predictions/iris', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      })
    }
    const metrics = await (await server.manage('/metrics')).text()
    assert.match(metrics, /^# TYPE onnxd_/m)
    const { stdout, stderr } = spawnSync(promtool, ['check', 'metrics'], {
      input: metrics,
      encoding: 'utf8',
    })
    const complaints = `${stdout}${stderr}`.split('\n').filter((line) => line !== '')
    assert.ok(complaints.length > 0, 'the names of TorchServe are there')
    assert.deepEqual(
      complaints.filter((line) => !NAMES_OF_TORCHSERVE.test(line)),
      [],
    )
  },
)
