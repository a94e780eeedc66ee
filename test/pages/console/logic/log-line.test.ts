import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  isAtLeast,
  isProblem,
  levelOf,
  shownLine,
  workerErrors,
} from '../../../../src/pages/console/logic/log-line.ts'

test('a line shows its text, its model and its other values', () => {
  const line = shownLine({
    level: 30,
    time: 7,
    model: 'iris',
    ms: 12,
    at: { a: 1 },
    msg: 'model loaded',
  })
  assert.deepEqual(line, {
    time: 7,
    level: 'info',
    text: 'model loaded',
    model: 'iris',
    details: 'ms=12  at={"a":1}',
    more: [],
  })
})

test('a request shows what was asked and how it ended', () => {
  const request = {
    level: 30,
    method: 'POST',
    route: '/predictions/:model',
    status: 503,
    type: 'X',
    ip: '::1',
    ms: 2,
  }
  const { text, details } = shownLine({ ...request, msg: 'request' })
  assert.equal(text, 'POST /predictions/:model 503 X')
  assert.equal(details, 'ms=2')
})

test('the output of a worker and the stack of an error can be opened', () => {
  assert.deepEqual(shownLine({ stderr: ['a', 'b'] }).more, ['a', 'b'])
  assert.deepEqual(shownLine({ err: { stack: 'Error: x\n  at y' } }).more, ['Error: x', '  at y'])
})

test('levels are numbers or names', () => {
  assert.deepEqual(
    [10, 20, 30, 40, 50, 60, 'warn', undefined].map((level) => levelOf({ level })),
    ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'warn', 'info'],
  )
  assert.ok(isAtLeast({ level: 40 }, 'warn') && !isAtLeast({ level: 30 }, 'warn'))
})

test('warnings and responses with status 500 are problems, mistakes of clients are not', () => {
  const request = (status: number): boolean => isProblem({ level: 30, msg: 'request', status })
  assert.deepEqual(
    [request(200), request(404), request(500), isProblem({ level: 40 })],
    [false, false, true, true],
  )
})

test('the errors of workers are the last lines of stderr, each once, without stacks', () => {
  const line = (text: string, model = 'a', stream = 'stderr'): object => ({
    model,
    stream,
    line: text,
  })
  const attempt = [line('reading'), line('    at load (x.js:1:2)'), line('damaged')]
  const log = [...attempt, line('other', 'b'), line('hello', 'a', 'stdout'), ...attempt]
  assert.deepEqual(workerErrors(log as Record<string, unknown>[], 'a'), ['reading', 'damaged'])
})
