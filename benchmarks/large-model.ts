/**
 * B3 and B4: models whose run takes milliseconds. They show whether the worker ever waits, and the
 * cost of large bodies.
 */
import { bareLoop } from './bare-loop.ts'
import { OCTETS, floats, missingModels, modelFile } from './bench-models.ts'
import { gather } from './benchmark.ts'
import type { Benchmark } from './benchmark.ts'
import { startEcho } from './echo-process.ts'
import { goodLoop } from './load.ts'
import { residentMib, startServer } from './server.ts'

const SQUEEZENET = 'light_squeezenet.onnx'
const RESNET = 'light_resnet50.onnx'
const PICTURE_FLOATS = 3 * 224 * 224

export const largeBodies: Benchmark = {
  id: 'B3',
  title: 'light_squeezenet, 602 KB of raw bytes, 1 worker with 1 thread',
  missing: () => missingModels(SQUEEZENET),
  run: async ({ cli, rounds, seconds }) => {
    const file = modelFile(SQUEEZENET)
    const echo = await startEcho()
    const server = await startServer(cli, ['--workers', '1', '--threads', '1', file])
    try {
      const request = {
        url: `${server.inference}/predictions/light_squeezenet`,
        body: floats(PICTURE_FLOATS),
        headers: OCTETS,
      }
      const of = await gather(rounds, async () => {
        const bare = await bareLoop(file, seconds)
        const echoed = await goodLoop({ ...request, url: echo.url }, { connections: 1, seconds })
        const one = await goodLoop(request, { connections: 1, seconds })
        const eight = await goodLoop(request, { connections: 8, seconds })
        const many = await goodLoop(request, { connections: 32, seconds })
        return {
          eight: eight.rate / bare.rate,
          many: many.rate / bare.rate,
          addedUs: (one.p50 - bare.p50) * 1000,
          overParts: one.p50 / (echoed.p50 + bare.p50),
          resident: residentMib(server.pid),
          bareRate: bare.rate,
        }
      })
      return [
        {
          what: 'share of the bare loop, 8 connections',
          unit: '',
          rounds: of('eight'),
          goal: { atLeast: 0.95 },
        },
        {
          what: 'share of the bare loop, 32 connections',
          unit: '',
          rounds: of('many'),
          goal: { atLeast: 0.95 },
        },
        {
          what: 'p50 added to the bare run, 1 connection',
          unit: 'µs',
          rounds: of('addedUs'),
          goal: { atMost: 600 },
        },
        {
          what: 'p50 over an echo of the body plus the bare run, 1 connection',
          unit: '×',
          rounds: of('overParts'),
          goal: { atMost: 1.15 },
        },
        {
          what: 'resident memory of the front-end after 32 connections',
          unit: 'MiB',
          rounds: of('resident'),
          goal: { atMost: 120 },
        },
        { what: 'bare runs a second', unit: '/s', rounds: of('bareRate') },
      ]
    } finally {
      echo.stop()
      await server.stop()
    }
  },
}

export const twoWorkers: Benchmark = {
  id: 'B4',
  title: 'light_resnet50, 2 workers with 1 thread each, 8 connections',
  missing: () => missingModels(RESNET),
  run: async ({ cli, rounds, seconds }) => {
    const file = modelFile(RESNET)
    const server = await startServer(cli, ['--workers', '2', '--threads', '1', file])
    try {
      const request = {
        url: `${server.inference}/predictions/light_resnet50`,
        body: floats(PICTURE_FLOATS),
        headers: OCTETS,
      }
      const of = await gather(rounds, async () => {
        const bare = await Promise.all([bareLoop(file, seconds), bareLoop(file, seconds)])
        const bareRate = bare.reduce((sum, { rate }) => sum + rate, 0)
        const { rate } = await goodLoop(request, { connections: 8, seconds })
        return { share: rate / bareRate, rate, bareRate }
      })
      return [
        { what: 'share of two bare loops', unit: '', rounds: of('share'), goal: { atLeast: 0.97 } },
        { what: 'requests a second', unit: '/s', rounds: of('rate') },
        { what: 'bare runs a second, two loops', unit: '/s', rounds: of('bareRate') },
      ]
    } finally {
      await server.stop()
    }
  },
}
