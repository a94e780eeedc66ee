/**
 * B12: compares this server with other servers. All run the same model, and the same client
 * measures both in turns.
 */
import assert from 'node:assert/strict'
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { OCTETS, floats, modelFile } from './bench-models.ts'
import { gather, median } from './benchmark.ts'
import type { Benchmark, Figure, Plan } from './benchmark.ts'
import { closedLoop, goodLoop } from './load.ts'
import type { Request } from './load.ts'
import { mms, torchServe } from './peers/archive-servers.ts'
import { environmentOf, missingPython } from './peers/environment.ts'
import { startPeer } from './peers/peer-process.ts'
import type { PeerProcess } from './peers/peer-process.ts'
import { PeerError } from './peers/peer.ts'
import type { Format, Peer } from './peers/peer.ts'
import { bentoMl, fastApi, litServe, mlServer, rayServe } from './peers/python-servers.ts'
import { startServer } from './server.ts'

const PEERS: readonly Peer[] = [mms, torchServe, mlServer, litServe, bentoMl, rayServe, fastApi]
const USUAL_CONNECTIONS = 8
const CONNECTIONS = [1, USUAL_CONNECTIONS, 32]
const START_TIMEOUT_MS = 60_000
const MOST_DIFFERENCE = 1e-4

/** The model that all servers load, with the name and shape of its input. */
interface Subject {
  readonly file: string
  readonly input: string
  readonly shape: readonly number[]
}

/** The same request in one format, to this server and to the peer. */
interface Pair {
  readonly format: Format
  readonly ours: Request
  readonly theirs: Request
}

export const peers: Benchmark = {
  id: 'B12',
  title: 'other servers with the same model, 1 worker with 1 thread each',
  missing: missingPython,
  run: async (plan) => {
    const folder = mkdtempSync(path.join(tmpdir(), 'onnxd-bench-'))
    try {
      const subject = subjectIn(folder)
      plan.note(
        '| server | body | connections | rate of onnxd | of peer | ratio | p99 of onnxd | of peer | ratio |',
      )
      plan.note('|---|---|---|---|---|---|---|---|---|')
      const figures: Figure[] = []
      for (const peer of PEERS) {
        try {
          figures.push(...(await besidePeer(plan, subject, peer)))
        } catch (error) {
          if (!(error instanceof PeerError)) throw error
          plan.note(`${peer.name} skipped: ${error.message}`)
        }
      }
      return figures
    } finally {
      rmSync(folder, { recursive: true })
    }
  },
}

/**
 * Copies mnist if it is available, else the example model. The copy has its own name and no
 * settings file.
 */
function subjectIn(folder: string): Subject {
  const file = path.join(folder, 'peer.onnx')
  const mnist = modelFile('mnist.onnx')
  const isThere = existsSync(mnist)
  copyFileSync(isThere ? mnist : path.resolve('examples/digits/model.onnx'), file)
  return isThere
    ? { file, input: 'Input3', shape: [1, 1, 28, 28] }
    : { file, input: 'image', shape: [1, 1, 8, 8] }
}

/**
 * Measures one peer in every format that it supports.
 * @throws PeerError if it cannot be installed or started.
 */
async function besidePeer(plan: Plan, subject: Subject, peer: Peer): Promise<Figure[]> {
  const bin = await environmentOf(peer, plan.note)
  const theirs = await startPeer(peer, { bin, model: subject.file })
  try {
    const server = await startServer(plan.cli, ['--workers', '1', '--threads', '1', subject.file])
    try {
      const figures: Figure[] = []
      for (const pair of pairsOf(subject, server.inference, theirs.urls)) {
        await untilSameAnswer(pair, theirs)
        figures.push(...(await measure(plan, peer, pair)))
      }
      return figures
    } finally {
      await server.stop()
    }
  } finally {
    await theirs.stop()
  }
}

function pairsOf(subject: Subject, inference: string, urls: PeerProcess['urls']): Pair[] {
  const { input, shape } = subject
  const body = floats(shape.reduce((product, size) => product * size, 1))
  const values = new Float32Array(body.buffer, body.byteOffset, body.length / 4)
  const tensor = { name: input, shape, datatype: 'FP32', data: [...values] }
  const kinds = {
    bytes: { body, headers: OCTETS, url: `${inference}/predictions/peer` },
    json: {
      body: Buffer.from(JSON.stringify({ inputs: [tensor] })),
      headers: { 'content-type': 'application/json' },
      url: `${inference}/v2/models/peer/infer`,
    },
  }
  return (['bytes', 'json'] as const).flatMap((format) => {
    const url = urls[format]
    const ours = kinds[format]
    return url === undefined ? [] : [{ format, ours, theirs: { ...ours, url } }]
  })
}

/**
 * Waits until the peer responds, and compares its response with ours, because the speed of a wrong
 * result means nothing.
 */
async function untilSameAnswer({ format, ours, theirs }: Pair, peer: PeerProcess): Promise<void> {
  const end = performance.now() + START_TIMEOUT_MS
  let answer: Response | undefined
  while (answer?.ok !== true) {
    peer.assertRunning()
    if (performance.now() > end) {
      throw new PeerError(
        `no good answer within a minute, the last was ${answer?.status ?? 'none'}`,
      )
    }
    answer = await ask(theirs).catch(() => undefined)
    if (answer?.ok !== true) await sleep(100)
  }
  const [mine, its] = [await numbers(format, await ask(ours)), await numbers(format, answer)]
  assert.equal(its.length, mine.length, 'both answer with as many numbers')
  for (const [index, value] of its.entries()) {
    const expected = mine[index] ?? Number.NaN
    const isClose = Math.abs(value - expected) <= MOST_DIFFERENCE * Math.max(1, Math.abs(expected))
    assert.ok(isClose, `number ${index} is ${value} instead of ${expected}`)
  }
}

function ask({ url, body, headers }: Request): Promise<Response> {
  return fetch(url, { method: 'POST', body: new Uint8Array(body), headers })
}

async function numbers(format: Format, answer: Response): Promise<number[]> {
  if (format === 'bytes') return [...new Float32Array(await answer.arrayBuffer())]
  const { outputs } = (await answer.json()) as { outputs: readonly { data: number[] }[] }
  return outputs[0]?.data ?? []
}

/** Measures both servers in turns with each number of connections. */
async function measure(plan: Plan, peer: Peer, pair: Pair): Promise<Figure[]> {
  // Two seconds are enough for a stable median, and there are many measurements.
  const seconds = Math.max(1, Math.round(plan.seconds / 2))
  const warmUp = { connections: USUAL_CONNECTIONS, seconds }
  await Promise.all([closedLoop(pair.ours, warmUp), closedLoop(pair.theirs, warmUp)])
  const figures: Figure[] = []
  // A single round only checks that the benchmark runs, so it uses one number of connections.
  for (const connections of plan.rounds > 1 ? CONNECTIONS : [USUAL_CONNECTIONS]) {
    const of = await gather(plan.rounds, async () => {
      const ours = await goodLoop(pair.ours, { connections, seconds })
      const theirs = await closedLoop(pair.theirs, { connections, seconds })
      return {
        rate: ours.rate,
        peerRate: theirs.rate,
        rateRatio: ours.rate / theirs.rate,
        p99: ours.p99,
        peerP99: theirs.p99,
        p99Ratio: ours.p99 / theirs.p99,
        bad: theirs.bad,
      }
    })
    const what = `${peer.name}, ${pair.format}, ${connections} ${connections === 1 ? 'connection' : 'connections'}:`
    const bad = Math.max(...of('bad'))
    if (bad > 0) plan.note(`${what} ${bad} of its answers were bad`)
    figures.push(
      {
        what: `${what} rate, onnxd over peer`,
        unit: '',
        rounds: of('rateRatio'),
        goal: { atLeast: 1 },
      },
      {
        what: `${what} p99, onnxd over peer`,
        unit: '',
        rounds: of('p99Ratio'),
        goal: { atMost: 1 },
      },
      { what: `${what} rate of onnxd`, unit: '/s', rounds: of('rate') },
      { what: `${what} rate of peer`, unit: '/s', rounds: of('peerRate') },
      { what: `${what} p99 of onnxd`, unit: 'ms', rounds: of('p99') },
      { what: `${what} p99 of peer`, unit: 'ms', rounds: of('peerP99') },
    )
    plan.note(
      tableRow(peer, [pair.format, connections], {
        rates: [of('rate'), of('peerRate'), of('rateRatio')],
        p99s: [of('p99'), of('peerP99'), of('p99Ratio')],
      }),
    )
  }
  return figures
}

type Measured = readonly [ours: number[], theirs: number[], ratio: number[]]

/** A table row in the form of `docs/performance.md`. */
function tableRow(
  peer: Peer,
  kind: readonly (string | number)[],
  { rates, p99s }: { rates: Measured; p99s: Measured },
): string {
  const version = peer.packages[0]?.split('==')[1] ?? ''
  const [rate, peerRate, rateRatio] = rates.map(median)
  const [p99, peerP99, p99Ratio] = p99s.map(median)
  const cells = [
    `${peer.name} ${version}`,
    ...kind,
    `${rate?.toFixed(0)}/s`,
    `${peerRate?.toFixed(0)}/s`,
    `${rateRatio?.toFixed(1)} ×`,
    `${p99?.toFixed(1)} ms`,
    `${peerP99?.toFixed(1)} ms`,
    `${p99Ratio?.toFixed(2)} ×`,
  ]
  return `| ${cells.join(' | ')} |`
}
