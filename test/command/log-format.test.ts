/** The forms of the log. */
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { prettyLine } from '../../src/command/log-format.ts'
import { NO_TERMINAL } from '../../src/command/terminal/terminal.ts'
import { start, until } from '../helpers/server.ts'

const time = new Date(2026, 0, 2, 3, 4, 5, 6).getTime()
const pretty = (entry: object) => prettyLine(`${JSON.stringify(entry)}\n`, NO_TERMINAL)

test('a pretty line has time, level, message and fields', () => {
  assert.equal(
    pretty({ level: 40, time, model: 'iris', note: 'two words', list: [1], msg: 'a warning' }),
    '03:04:05.006 WARN  a warning model=iris note="two words" list=[1]\n',
  )
  assert.equal(pretty({ level: 30, time, msg: 'plain' }), '03:04:05.006 INFO  plain\n')
  const iso = { level: 'info', time: new Date(time).toISOString(), msg: 'named' }
  assert.equal(pretty(iso), '03:04:05.006 INFO  named\n')
})

test('a request shows method, route, status and time first', () => {
  const request = { method: 'POST', route: '/predictions/:model', status: 200, ms: 1.5, model: 'm' }
  assert.equal(
    pretty({ level: 30, time, requestId: 'r1', ...request, msg: 'request' }),
    '03:04:05.006 INFO  POST /predictions/:model 200 1.50 ms model=m requestId=r1\n',
  )
})

test('a failed load says its reason once', () => {
  const failed = (stderr: string[]) =>
    pretty({
      level: 50,
      time,
      model: 'm',
      reason: 'Failed to start workers: It is a text.',
      stderr,
      msg: 'model failed to load',
    })
  const once = 'model failed to load model=m reason="Failed to start workers: It is a text."'
  assert.equal(failed([]), `03:04:05.006 ERROR ${once}\n`)
  assert.equal(failed(['Model "m" cannot be loaded: It is a text.']), failed([]))
  assert.ok(failed(['more']).endsWith(' stderr=["more"]\n'))
})

test('the stack of an error follows, and a colour marks the level', () => {
  const err = { type: 'Error', message: 'no', stack: 'Error: no\n    at here' }
  const line = `${JSON.stringify({ level: 50, time, err, msg: 'failed' })}\n`
  const terminal = { isTerminal: true, columns: 80, hasColors: true, canRedraw: true }
  const text = prettyLine(line, terminal)
  assert.ok(
    text.includes('\u001b[31mERROR\u001b[39m failed\n    Error: no\n        at here\n'),
    text,
  )
  assert.ok(pretty({ level: 50, time, err: 'text', msg: 'x' }).endsWith(' x err=text\n'))
})

test('a terminal obeys nothing that a line contains', () => {
  const hostile = '\u001b]0;x\u0007\u009b2J\u202e\r\nnext\u2028'
  const text = pretty({
    level: 30,
    time,
    [hostile]: hostile,
    deep: { [hostile]: hostile },
    err: { stack: hostile },
    route: hostile,
    method: hostile,
    status: 200,
    ms: hostile,
    msg: hostile,
  })
  // Line feeds end the line and stand in the stack.
  assert.doesNotMatch(text.replaceAll('\n', ''), /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u)
  assert.equal(text.split('\n').length, 4, text)
  const odd = prettyLine('not JSON \u001b[2J\n', NO_TERMINAL)
  assert.equal(odd, 'not JSON  [2J\n')
})

test('a server writes names and ISO times, or lines for a person', async (t) => {
  const flags = ['--port', '0', '--management-port', '0', '--workers', '1', '--log-format']
  const [iso, person, json] = await Promise.all(
    ['json-iso', 'pretty', 'auto'].map((format) =>
      start(t, [path.resolve('examples/iris'), ...flags, format]),
    ),
  )
  await iso?.logged((line) => line['level'] === 'info' && /^20.+T.+Z$/.test(String(line['time'])))
  await until(() => person?.messages.some((line) => /^\d\d:\d\d:\d\d\.\d{3} INFO {2}\S/.test(line)))
  await json?.logged((line) => line['level'] === 30 && Number.isInteger(line['time']))
})
