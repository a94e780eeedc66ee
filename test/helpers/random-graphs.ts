/** Random graphs whose operators keep the samples of a batch apart, or mix them. */
import { floats, integers, node } from './onnx-builder.ts'
import type { Constant, ModelSource, NodeSource } from './onnx-builder.ts'
import type { RandomNumbers } from './random.ts'

/** A graph under construction. `last` is the name of its last tensor `[N,width]`. */
class GraphBuilder {
  readonly nodes: NodeSource[] = []
  readonly constants: Record<string, Constant> = {}
  readonly random: RandomNumbers
  last = 'x'
  width: number
  #count = 0

  constructor(random: RandomNumbers, width: number) {
    this.random = random
    this.width = width
  }

  /** Adds a node with one output and returns the output's name. */
  add(
    operator: string,
    inputs: readonly string[],
    attributes: NodeSource['attributes'] = {},
    domain = '',
  ): string {
    const output = `t${++this.#count}`
    this.nodes.push(node(operator, inputs, output, attributes, domain))
    return output
  }

  constant(constant: Constant): string {
    const name = `c${++this.#count}`
    this.constants[name] = constant
    return name
  }

  /** A constant of random weights. */
  weights(...dims: readonly number[]): string {
    const count = dims.reduce((product, size) => product * size, 1)
    const values = Array.from({ length: count }, () => Math.fround(this.random.next() * 2 - 1))
    return this.constant(floats(dims, values))
  }

  scalar(value: number): string {
    return this.constant(floats([], [value]))
  }
}

type Step = (graph: GraphBuilder) => void

/** A step that adds one operator and keeps the width. */
const simple =
  (operator: string, attributes: NodeSource['attributes'] = {}, domain = ''): Step =>
  (graph) => {
    graph.last = graph.add(operator, [graph.last], attributes, domain)
  }

/** Steps that process each sample independently. */
const APART: readonly Step[] = [
  simple('Relu'),
  simple('Tanh'),
  simple('Sigmoid'),
  simple('Softmax', { axis: 1 }),
  simple('Softmax', { axis: -1 }),
  simple('LpNormalization', { axis: -1 }),
  simple('Normalizer', { norm: 'L2' }, 'ai.onnx.ml'),
  (graph) => {
    graph.last = graph.add('MatMul', [graph.last, graph.weights(graph.width, 3)])
    graph.width = 3
  },
  (graph) => {
    const [weights, bias] = [graph.weights(4, graph.width), graph.weights(4)]
    graph.last = graph.add('Gemm', [graph.last, weights, bias], { transB: 1 })
    graph.width = 4
  },
  (graph) => {
    graph.last = graph.add('Mul', [graph.last, graph.weights(1, graph.width)])
  },
  (graph) => {
    const scale = graph.weights(graph.width)
    graph.last = graph.add('LayerNormalization', [graph.last, scale, scale], { axis: -1 })
  },
  (graph) => {
    const mean = graph.add('ReduceMean', [graph.last], { axes: [1], keepdims: 1 })
    graph.last = graph.add('Sub', [graph.last, mean])
  },
  (graph) => {
    graph.last = graph.add('Concat', [graph.last, graph.add('Neg', [graph.last])], { axis: 1 })
    graph.width *= 2
  },
  (graph) => {
    const column = graph.constant(integers(0, graph.width - 1))
    graph.last = graph.add('Gather', [graph.last, column], { axis: 1 })
    graph.width = 2
  },
  (graph) => {
    const bounds = [[0], [1], [1]].map((values) => graph.constant(integers(...values)))
    const [start, end, axis] = bounds
    const first = graph.add('Slice', [graph.last, start ?? '', end ?? '', axis ?? ''])
    graph.last = graph.add('Add', [graph.last, first])
  },
  (graph) => {
    const turned = graph.add('Transpose', [graph.last], { perm: [1, 0] })
    graph.last = graph.add('Transpose', [graph.add('Abs', [turned])], { perm: [1, 0] })
  },
  (graph) => {
    // Uses the shape of the input to reshape, as PyTorch's exporter does.
    const shape = graph.add('Shape', [graph.last])
    const zero = graph.constant({ type: 'INT64', shape: [], values: [0] })
    const axes = graph.constant(integers(0))
    const size = graph.add('Unsqueeze', [graph.add('Gather', [shape, zero]), axes])
    const parts = [size, graph.constant(integers(1)), graph.constant(integers(-1))]
    const spread = graph.add('Reshape', [graph.last, graph.add('Concat', parts, { axis: 0 })])
    graph.last = graph.add('Reshape', [spread, graph.constant(integers(0, graph.width))])
  },
  (graph) => {
    const [scale, zero] = [
      graph.scalar(0.05),
      graph.constant({ type: 'UINT8', shape: [], values: [128] }),
    ]
    const whole = graph.add('QuantizeLinear', [graph.last, scale, zero])
    graph.last = graph.add('DequantizeLinear', [whole, scale, zero])
  },
]

/** Steps that mix the samples of a batch, so that a joined run gives other results. */
const MIXED: readonly Step[] = [
  simple('Softmax', { axis: 0 }),
  simple('LpNormalization', { axis: 0 }),
  (graph) => {
    const mean = graph.add('ReduceMean', [graph.last], { axes: [0], keepdims: 1 })
    graph.last = graph.add('Sub', [graph.last, mean])
  },
  (graph) => {
    const most = graph.add('ReduceMax', [graph.last], { keepdims: 0 })
    graph.last = graph.add('Div', [graph.last, graph.add('Add', [most, graph.scalar(3)])])
  },
  (graph) => {
    const turned = graph.add('Transpose', [graph.last], { perm: [1, 0] })
    graph.last = graph.add('MatMul', [graph.add('MatMul', [graph.last, turned]), graph.last])
  },
  (graph) => {
    const axis = graph.constant({ type: 'INT64', shape: [], values: [0] })
    graph.last = graph.add('CumSum', [graph.last, axis])
  },
  (graph) => {
    const least = -(2 ** 31)
    const [start, end, axis, step] = [[-1], [least], [0], [-1]].map((values) =>
      graph.constant(integers(...values)),
    )
    const inputs = [graph.last, start ?? '', end ?? '', axis ?? '', step ?? '']
    graph.last = graph.add('Slice', inputs)
  },
  (graph) => {
    const size = graph.add('Cast', [graph.add('Size', [graph.last])], { to: 1 })
    graph.last = graph.add('Div', [graph.last, size])
  },
  (graph) => {
    const names = ['q', 's', 'z'].map((name) => `${name}${graph.nodes.length}`)
    graph.nodes.push(node('DynamicQuantizeLinear', [graph.last], names))
    graph.last = graph.add('DequantizeLinear', names)
  },
  (graph) => {
    // Puts all numbers of the batch into another order and keeps the width.
    const turned = graph.add('Transpose', [graph.last], { perm: [1, 0] })
    const shape = graph.constant(integers(-1, graph.width))
    graph.last = graph.add('Reshape', [turned, shape])
  },
]

export interface RandomGraph {
  readonly model: ModelSource
  readonly mixes: boolean
  /** Elements of one sample. */
  readonly width: number
  /** Elements of one sample of `y`. */
  readonly lastWidth: number
  readonly outputs: readonly string[]
  /** Its operators, for messages. */
  readonly operators: string
}

/**
 * A graph from `x[N,width]` to `y`. Half of the graphs have a second output `z` from the middle.
 */
export function randomGraph(
  random: RandomNumbers,
  mixes: boolean,
  width = random.integer(2, 5),
): RandomGraph {
  const graph = new GraphBuilder(random, width)
  const count = random.integer(2, 6)
  const [place, middle] = [random.integer(0, count - 1), random.integer(0, count - 1)]
  const hasTwo = random.integer(0, 1) === 1
  for (let index = 0; index < count; index++) {
    const steps = mixes && index === place ? MIXED : APART
    steps[random.integer(0, steps.length - 1)]?.(graph)
    if (hasTwo && index === middle) graph.nodes.push(node('Identity', [graph.last], 'z'))
  }
  const outputs = hasTwo ? ['y', 'z'] : ['y']
  const value = (name: string, dimensions: readonly (number | string)[]) =>
    ({ name, type: 'FP32', shape: dimensions }) as const
  return {
    mixes,
    width,
    lastWidth: graph.width,
    outputs,
    operators: graph.nodes.map(({ operator }) => operator).join(' '),
    model: {
      nodes: [...graph.nodes, node('Identity', [graph.last], 'y')],
      inputs: [value('x', ['N', width])],
      outputs: outputs.map((name) => value(name, ['N', `${name}_width`])),
      constants: graph.constants,
    },
  }
}
