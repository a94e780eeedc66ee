/**
 * B6: one FP32 tensor in the binary form of the Open Inference Protocol, in the request and the
 * response.
 */
import { missingModels, modelFile } from './bench-models.ts'
import { gather } from './benchmark.ts'
import type { Benchmark, Figure } from './benchmark.ts'
import { binaryRequest } from './binary-request.ts'
import { goodLoop } from './load.ts'
import { startServer } from './server.ts'

const MODEL = 'identity_fp32'
const SIZES = [
  ['1 KB', 256],
  ['602 KB', 150_528],
  ['6 MB', 1_572_864],
  ['16 MB', 4_194_304],
] as const

export const binaryTensors: Benchmark = {
  id: 'B6',
  title: 'identity FP32, binary tensors both ways, 2 connections, 1 worker',
  missing: () => missingModels(MODEL),
  run: async ({ cli, rounds, seconds }) => {
    const server = await startServer(cli, ['--workers', '1', modelFile(MODEL)])
    const figures: Figure[] = []
    try {
      for (const [size, count] of SIZES) {
        const tensor = { name: 'INPUT0', datatype: 'FP32', shape: [1, count] }
        const { body, headers } = binaryRequest(tensor, Buffer.alloc(count * 4))
        const request = { url: `${server.inference}/v2/models/${MODEL}/infer`, body, headers }
        const of = await gather(rounds, async () => {
          const { rate } = await goodLoop(request, { connections: 2, seconds })
          return { rate: (rate * count * 4 * 2) / 1e9 }
        })
        const goal = size === '6 MB' ? { goal: { atLeast: 1 } } : {}
        figures.push({
          what: `${size}, both ways together`,
          unit: 'GB/s',
          rounds: of('rate'),
          ...goal,
        })
      }
      return figures
    } finally {
      await server.stop()
    }
  },
}
