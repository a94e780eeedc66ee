/** Small models for tests of how models are loaded, changed and ended. */
import { modelBytes, node } from './onnx-builder.ts'
import type { Constant, ValueSource } from './onnx-builder.ts'

const one = (name: string): ValueSource => ({ name, type: 'FP32', shape: [1] })

/** A model that adds `constant` to its input `x` of one number. Its output is `y`. */
export function addModel(constant: number, { input = 'x', padding = 0 } = {}): Buffer {
  return adding(input, { type: 'FP32', shape: [1], values: [constant] }, 'p'.repeat(padding))
}

/**
 * Same as {@link addModel}, but the constant is in another file. {@link externalConstant} makes
 * that file's four bytes.
 */
export function externalModel(location: string): Buffer {
  return adding('x', { type: 'FP32', shape: [1], location })
}

/** The content of the constant's file of an {@link externalModel}. */
export function externalConstant(constant: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(constant)
  return bytes
}

function adding(input: string, c: Constant, description?: string): Buffer {
  return modelBytes({
    nodes: [node('Add', [input, 'c'], 'y')],
    inputs: [one(input)],
    outputs: [one('y')],
    constants: { c },
    ...(description !== undefined && { description }),
  })
}

/**
 * A model whose run never ends, or takes `count` iterations of a loop, about a microsecond each.
 */
export function endlessModel(count = 2n ** 62n): Buffer {
  const flag = (name: string): ValueSource => ({ name, type: 'BOOL', shape: [] })
  const graph = {
    nodes: [node('Identity', ['goOn'], 'goesOn'), node('Add', ['before', 'before'], 'after')],
    inputs: [{ name: 'turn', type: 'INT64', shape: [] } as const, flag('goOn'), one('before')],
    outputs: [flag('goesOn'), one('after')],
  }
  return modelBytes({
    nodes: [node('Loop', ['turns', 'yes', 'x'], 'y', { body: { graph } })],
    inputs: [one('x')],
    outputs: [one('y')],
    constants: {
      turns: { type: 'INT64', shape: [], values: [Number(count)] },
      yes: { type: 'BOOL', shape: [], values: [1] },
    },
  })
}
