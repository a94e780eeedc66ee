/**
 * The dashboard and the alerts of `deploy` with Prometheus itself: promtool checks the rules and
 * runs their tests, and a Prometheus that scrapes a real server must return data for every query.
 */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { freePort } from '../helpers/free-port.ts'
import { needs } from '../helpers/needs.ts'
import { alertQueries, dashboardQueries } from '../helpers/queries.ts'
import type { Query } from '../helpers/queries.ts'
import { serve, temporaryFolder, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'

const FOLDER = path.join('deploy', 'prometheus')
const TOKEN = 'a-token-of-management'
const needsPromtool = needs('promtool', '--version')

test(
  'promtool accepts the rules, and the configuration that uses them',
  { skip: needsPromtool },
  () => {
    for (const [command, file] of [
      ['rules', 'alerts.yaml'],
      ['config', 'prometheus.yaml'],
    ] as const) {
      const options = command === 'config' ? ['--syntax-only'] : []
      const { status, stdout, stderr } = promtool('check', command, ...options, file)
      assert.equal(status, 0, stdout + stderr)
    }
  },
)

test('the tests of the alerts pass, and each alert has one', { skip: needsPromtool }, () => {
  const { status, stdout, stderr } = promtool('test', 'rules', 'alerts.test.yaml')
  assert.equal(status, 0, stdout + stderr)
  const tests = readFileSync(path.join(FOLDER, 'alerts.test.yaml'), 'utf8')
  for (const { name } of alertQueries()) {
    const fires = new RegExp(`alertname: ${name}\\n\\s+exp_alerts:\\n`)
    assert.match(tests, fires, `${name} fires in a test`)
  }
})

test(
  'every query of the dashboard returns data from a real server',
  { skip: needs('prometheus', '--version'), timeout: 180_000 },
  async (t) => {
    const server = await serve(t, [path.resolve('examples/digits')], {
      modelStore: path.resolve('examples'),
      load: 'on-demand',
      managementToken: TOKEN,
    })
    const prometheus = await startPrometheus(t, server)
    const queries = dashboardQueries('10s')
    assert.ok(queries.length > 30)
    let missing: Query[] = queries
    await until(async () => {
      await traffic(server)
      missing = await without(missing, (query) => prometheus.hasData(query.expression))
      return missing.length === 0
    }, 90_000).catch(() => assert.deepEqual(missing, []))

    // The alert fires for a real server that is gone.
    assert.deepEqual(await prometheus.pending(), [])
    await server.kill()
    await until(async () => (await prometheus.pending()).includes('OnnxdDown'), 60_000)
  },
)

function promtool(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync('promtool', args, { cwd: FOLDER, encoding: 'utf8' })
}

/** One good and one bad request. */
async function traffic(server: TestServer): Promise<void> {
  for (const body of ['{"features": [[5.8, 2.7, 5.1, 1.9]]}', 'no JSON']) {
    const headers = { 'content-type': 'application/json' }
    const answer = await server.fetch('/predictions/iris', { method: 'POST', headers, body })
    await answer.arrayBuffer()
  }
}

async function without<T>(items: readonly T[], isOut: (item: T) => Promise<boolean>): Promise<T[]> {
  const found = await Promise.all(items.map(isOut))
  return items.filter((_, index) => found[index] !== true)
}

interface Prometheus {
  hasData(expression: string): Promise<boolean>
  /** Names of the alerts whose condition is true. */
  pending(): Promise<string[]>
}

/** Starts Prometheus with the files of `deploy`. It scrapes each second. */
async function startPrometheus(t: TestContext, server: TestServer): Promise<Prometheus> {
  const folder = temporaryFolder(t)
  copyFileSync(path.join(FOLDER, 'alerts.yaml'), path.join(folder, 'alerts.yaml'))
  writeFileSync(path.join(folder, 'management-token'), TOKEN)
  const example = readFileSync(path.join(FOLDER, 'prometheus.yaml'), 'utf8')
  const target = new URL(server.managementUrl).host
  const configuration = example
    .replace('127.0.0.1:8081', target)
    .replace('scrape_interval: 15s', 'scrape_interval: 1s')
  assert.ok(configuration.includes(target) && configuration.includes(' 1s'))
  const file = path.join(folder, 'prometheus.yaml')
  writeFileSync(file, `global: { evaluation_interval: 1s }\n${configuration}`)
  const address = `127.0.0.1:${await freePort()}`
  const child = spawn(
    'prometheus',
    [
      `--config.file=${file}`,
      `--storage.tsdb.path=${path.join(folder, 'data')}`,
      `--web.listen-address=${address}`,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let log = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (log += text))
  const ended = once(child, 'close')
  t.after(async () => {
    child.kill('SIGKILL')
    await ended
  })
  const get = async (route: string): Promise<unknown> => {
    const answer = await fetch(`http://${address}${route}`)
    const { status, data, error } = (await answer.json()) as Record<string, unknown>
    assert.equal(status, 'success', `${route}: ${String(error)}`)
    return data
  }
  await until(async () => {
    assert.equal(child.exitCode, null, log)
    return fetch(`http://${address}/-/ready`).then(
      ({ status }) => status === 200,
      () => false,
    )
  })
  return {
    hasData: async (expression) => {
      const route = `/api/v1/query?query=${encodeURIComponent(expression)}`
      return ((await get(route)) as { result: unknown[] }).result.length > 0
    },
    pending: async () => {
      const { alerts } = (await get('/api/v1/alerts')) as { alerts: { labels: object }[] }
      return alerts.map(({ labels }) => (labels as Record<string, string>)['alertname'] ?? '')
    },
  }
}
