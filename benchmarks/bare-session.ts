import { InferenceSession, Tensor } from 'onnxruntime-node'

/** Opens a model without a server. The returned function runs it with random floats. */
export async function openBare(file: string, batch: number): Promise<() => Promise<unknown>> {
  const session = await InferenceSession.create(file, {
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
  })
  const [input] = session.inputMetadata
  if (input?.isTensor !== true) throw new Error(`${file} has no tensor for its input`)
  const shape = input.shape.map((size, axis) =>
    typeof size === 'number' && size > 0 ? size : axis === 0 ? batch : 1,
  )
  const count = shape.reduce((product, size) => product * size, 1)
  const data = Float32Array.from({ length: count }, Math.random)
  const feeds = { [input.name]: new Tensor('float32', data, shape) }
  return () => session.run(feeds)
}
