import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CallGraph } from '../../../src/models/model-calls/call-graph.ts'

test('models must not call one another in a circle, also for different requests', () => {
  const graph = new CallGraph((name) => name)
  graph.add('a', 'b')
  graph.add('a', 'b')
  graph.add('b', 'c')
  graph.add('a', 'c')
  const circle = /^Models call one another in a circle: c → a → b → c\.$/
  assert.throws(() => graph.add('c', 'a'), { statusCode: 500, message: circle })
  assert.throws(() => graph.add('c', 'a'), { message: circle }, 'it stays so')
  assert.throws(() => graph.add('c', 'c'), { message: /circle: c → c\./ })
  graph.add('c', 'd')
  graph.add('d', 'e')
})

test('calls of a model that was replaced do not count', () => {
  const served = new Map([
    ['a', 1],
    ['b', 1],
  ])
  const graph = new CallGraph((name) => served.get(name))
  graph.add('a', 'b')
  assert.throws(() => graph.add('b', 'a'), /circle/)
  served.set('a', 2)
  graph.add('b', 'a')
  assert.throws(() => graph.add('a', 'b'), /circle: a → b → a/)
  served.delete('b')
  graph.add('a', 'b')
})
