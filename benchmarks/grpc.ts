/**
 * B18: the same tensors through gRPC and through REST, on one server in one run: a tensor of 602 KB
 * both ways, and a small model.
 */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { missingModels, modelFile } from './bench-models.ts'
import type { Benchmark, Figure } from './benchmark.ts'
import { binaryRequest } from './binary-request.ts'
import type { TensorFacts } from './binary-request.ts'
import { grpcLoop, restLoop } from './grpc-load.ts'
import { cpuMs, startServer } from './server.ts'

const IN_FLIGHT = [1, 8, 64] as const
const GOAL = { atLeast: 0.9 }
const FP32_BYTES = 4
const SUBJECTS: readonly (readonly [file: string, what: string, tensor: TensorFacts])[] = [
  ['identity_fp32', '602 KB', { name: 'INPUT0', datatype: 'FP32', shape: [1, 150_528] }],
  ['mnist.onnx', 'mnist', { name: 'Input3', datatype: 'FP32', shape: [1, 1, 28, 28] }],
]
/** Field numbers of `ModelInferRequest` and of `InferInputTensor`. */
const REQUEST = { model: 1, inputs: 5, raw: 7 } as const
const INPUT = { name: 1, datatype: 2, shape: 3 } as const

export const grpcBesideRest: Benchmark = {
  id: 'B18',
  title: 'gRPC beside REST on one server: 602 KB both ways, and mnist',
  missing: () => missingModels(...SUBJECTS.map(([file]) => file)),
  run: async ({ cli, rounds, seconds, note }) => {
    const models = SUBJECTS.map(([file]) => `${nameOf(file)}=${modelFile(file)}`)
    const server = await startServer(cli, ['--workers', '1', '--grpc-port', '0', ...models])
    const figures: Figure[] = []
    try {
      for (const [file, what, tensor] of SUBJECTS) {
        const model = nameOf(file)
        const count = tensor.shape.reduce((product, size) => product * size, 1)
        const data = Buffer.alloc(count * FP32_BYTES)
        const { body, headers } = binaryRequest(tensor, data)
        const rest = { url: `${server.inference}/v2/models/${model}/infer`, body, headers }
        const message = inferMessage(model, tensor, data)
        for (const connections of IN_FLIGHT) {
          const parts: number[] = []
          for (let round = 0; round < rounds; round++) {
            const load = { connections, seconds }
            const before = cpuMs(server.pid)
            const overRest = await restLoop(rest, load)
            const between = cpuMs(server.pid)
            const overGrpc = await grpcLoop(server.grpc, message, load)
            const after = cpuMs(server.pid)
            const restMs = (between - before) / (overRest.rate * seconds)
            const grpcMs = (after - between) / (overGrpc.rate * seconds)
            note(
              `${what}, ${connections} in flight: gRPC ${overGrpc.rate.toFixed(0)}/s, p50 ${overGrpc.p50.toFixed(2)} ms, ${grpcMs.toFixed(3)} ms CPU of the front-end; REST ${overRest.rate.toFixed(0)}/s, p50 ${overRest.p50.toFixed(2)} ms, ${restMs.toFixed(3)} ms CPU`,
            )
            parts.push(overGrpc.rate / overRest.rate)
          }
          figures.push({
            what: `${what}, ${connections} in flight, requests of gRPC over those of REST`,
            unit: '',
            rounds: parts,
            goal: GOAL,
          })
        }
      }
      return figures
    } finally {
      await server.stop()
    }
  },
}

function nameOf(file: string): string {
  return file.replace(/\.onnx$/, '')
}

function inferMessage(model: string, tensor: TensorFacts, data: Buffer): Buffer {
  const writer = new BinaryWriter()
  writer.tag(REQUEST.model, WireType.LengthDelimited).string(model)
  writer.tag(REQUEST.inputs, WireType.LengthDelimited).fork()
  writer.tag(INPUT.name, WireType.LengthDelimited).string(tensor.name)
  writer.tag(INPUT.datatype, WireType.LengthDelimited).string(tensor.datatype)
  writer.tag(INPUT.shape, WireType.LengthDelimited).fork()
  for (const size of tensor.shape) writer.int64(size)
  writer.join().join()
  writer.tag(REQUEST.raw, WireType.LengthDelimited).bytes(data)
  return Buffer.from(writer.finish())
}
