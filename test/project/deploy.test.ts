/** The files of `deploy`: their flags, limits and queries are those of this version of onnxd. */
import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { parse, parseAllDocuments } from 'yaml'
import { parseDockerfile } from '../../scripts/dockerfile.ts'
import { parseConfig } from '../../src/config/parse.ts'
import { parseMetrics } from '../helpers/prometheus.ts'
import { alertQueries, dashboardQueries, groupingOf, selectorsOf } from '../helpers/queries.ts'
import type { Selector } from '../helpers/queries.ts'
import { sharedServer } from '../helpers/shared-server.ts'

/** Labels that Prometheus adds to every series. */
const OF_TARGET = new Set(['job', 'instance', 'namespace', 'pod'])

const { version } = JSON.parse(read('package.json')) as { version: string }

/** A command line in a file, and how long the platform waits at a stop. */
interface Start {
  readonly file: string
  readonly args: readonly string[]
  readonly variables: Readonly<Record<string, string>>
  readonly graceSeconds?: number
}

interface Container {
  readonly image?: string
  readonly args: readonly string[]
  readonly env: readonly { name: string }[]
}

test('every command line is valid, and the platform waits longer than the server', () => {
  const starts = [...systemd(), ...compose(), ...kubernetes()]
  assert.deepEqual(
    starts.map(({ file }) => file),
    ['onnxd.service', 'compose.yaml', 'kserve.yaml', 'onnxd.yaml'],
  )
  for (const { file, args, variables, graceSeconds } of starts) {
    const [command, ...flags] = args
    assert.equal(command, 'serve', file)
    const { config, ignored } = parseConfig(flags, { ...variables })
    assert.deepEqual(ignored, [], file)
    if (graceSeconds === undefined) continue
    assert.ok(graceSeconds > config.stopDelay + config.drainTimeout, `${file}: ${graceSeconds} s`)
  }
})

test('images and chart have the version of the package', () => {
  const chart = parse(read('deploy/helm/onnxd/Chart.yaml')) as Record<string, string>
  assert.deepEqual([chart['version'], chart['appVersion']], [version, version])
  const images = ['onnxd.yaml', 'kserve.yaml'].flatMap((name) => [
    ...read(`deploy/kubernetes/${name}`).matchAll(/image: (\S+)/g),
  ])
  assert.deepEqual(
    images.map(([, image]) => image),
    [`registry.example.com/onnxd:${version}`, `registry.example.com/onnxd:${version}`],
  )
})

test('the dashboard and the alerts use metrics and labels that a server has', async () => {
  const onDemand = { load: 'on-demand', modelStore: path.resolve('examples') }
  const server = await sharedServer([], onDemand)
  for (const body of ['{"features": [[5.8, 2.7, 5.1, 1.9]]}', 'no JSON']) {
    const headers = { 'content-type': 'application/json' }
    const answer = await server.fetch('/predictions/iris', { method: 'POST', headers, body })
    await answer.arrayBuffer()
  }
  const scraped = parseMetrics(await (await server.manage('/metrics')).text())
  const labels = new Map<string, Map<string, Set<string>>>()
  for (const series of scraped.keys()) {
    const [metric = '', rest = ''] = series.split('{', 2)
    const known = labels.get(metric) ?? new Map<string, Set<string>>()
    labels.set(metric, known)
    for (const [, label = '', value = ''] of rest.matchAll(/(\w+)="([^"]*)"/g))
      known.set(label, (known.get(label) ?? new Set()).add(value))
  }
  const queries = [...dashboardQueries('1m'), ...alertQueries()]
  assert.ok(queries.length > 40)
  for (const { name, expression } of queries) {
    const selectors = selectorsOf(expression)
    assert.ok(selectors.length > 0, name)
    for (const selector of selectors) checkSelector(selector, name)
    const metrics = selectors.map(({ metric }) => labels.get(metric))
    for (const label of groupingOf(expression))
      assert.ok(
        OF_TARGET.has(label) || metrics.every((known) => known?.has(label)),
        `${name}: ${label}`,
      )
  }

  function checkSelector({ metric, matchers }: Selector, name: string): void {
    if (metric === 'up') return
    const known = labels.get(metric)
    assert.ok(known, `${name}: ${metric}`)
    for (const { label, operator, value } of matchers) {
      if (OF_TARGET.has(label)) continue
      assert.ok(known.has(label), `${name}: ${metric} has no label ${label}`)
      if (operator === '=' || operator === '!=')
        assert.ok(known.get(label)?.has(value), `${name}: ${metric}{${label}="${value}"}`)
    }
  }
})

test('KEDA, the adapter of the HPA and the chart ask for the metrics of the load', () => {
  const files = [
    'deploy/kubernetes/keda.yaml',
    'deploy/kubernetes/hpa.yaml',
    'deploy/helm/onnxd/templates/scaledobject.yaml',
  ]
  for (const file of files) {
    const metrics = new Set(selectorsOf(read(file)).map(({ metric }) => metric))
    for (const metric of ['onnxd_inflight_requests', 'onnxd_capacity_requests'])
      assert.ok(metrics.has(metric), `${file}: ${metric}`)
  }
})

test('each chart panel has a place of its own, and each variable is defined', () => {
  const text = read('deploy/grafana/onnxd.json')
  const { panels, templating } = JSON.parse(text) as {
    panels: { id: number; gridPos: { x: number; y: number; w: number; h: number } }[]
    templating: { list: { name: string }[] }
  }
  assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length)
  const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) => {
    assert.ok(x + w <= 24)
    return Array.from(
      { length: w * h },
      (_, cell) => `${x + (cell % w)},${y + Math.floor(cell / w)}`,
    )
  })
  assert.equal(new Set(cells).size, cells.length, 'no panel covers another one')
  const used = new Set([...text.matchAll(/\$\{?([a-z]\w*)/g)].map(([, name = '']) => name))
  assert.deepEqual([...used].toSorted(), templating.list.map(({ name }) => name).toSorted())
})

function systemd(): Start[] {
  const unit = read('deploy/systemd/onnxd.service')
  const command = /^ExecStart=\S+ (.+)$/m.exec(unit)?.[1] ?? ''
  const graceSeconds = Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1])
  return [{ file: 'onnxd.service', args: command.split(' '), variables: {}, graceSeconds }]
}

function compose(): Start[] {
  const { services } = parse(read('deploy/compose.yaml')) as {
    services: { onnxd: { command: string[]; stop_grace_period: string } }
  }
  const { command: args, stop_grace_period: grace } = services.onnxd
  const variables = imageVariables()
  return [{ file: 'compose.yaml', args, variables, graceSeconds: Number.parseInt(grace, 10) }]
}

/** The variables of settings that the image sets. */
function imageVariables(): Record<string, string> {
  const lines = parseDockerfile(read('deploy/Dockerfile')).filter(({ name }) => name === 'ENV')
  return Object.fromEntries(
    lines
      .flatMap(({ text }) => [...text.matchAll(/(ONNXD_\w+)=(\S+)/g)])
      .map(([, name = '', value = '']) => [name, value]),
  )
}

function kubernetes(): Start[] {
  return readdirSync('deploy/kubernetes').flatMap((file) =>
    parseAllDocuments(read(`deploy/kubernetes/${file}`)).flatMap((document) => {
      const manifest = document.toJS() as {
        kind: string
        spec: {
          containers?: Container[]
          template?: { spec: { containers: Container[]; terminationGracePeriodSeconds: number } }
        }
      }
      const pod = manifest.spec.template?.spec
      const containers = pod?.containers ?? manifest.spec.containers ?? []
      return containers.map((container): Start => {
        const secrets = container.env.map(({ name }) => [name, 'secret'])
        const variables = {
          ...imageVariables(),
          ...Object.fromEntries(secrets),
        } as Start['variables']
        const args = container.args.map((argument) => argument.replace('{{.Name}}', 'iris'))
        const start = { file, args, variables }
        return pod === undefined
          ? start
          : { ...start, graceSeconds: pod.terminationGracePeriodSeconds }
      })
    }),
  )
}

function read(file: string): string {
  return readFileSync(file, 'utf8')
}
