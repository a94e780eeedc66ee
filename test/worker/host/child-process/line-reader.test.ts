/** How a worker's output is split into lines, and how much of it is read. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { readLines } from '../../../../src/worker/host/child-process/line-reader.ts'

test('lines are split at newlines only, cut at 16 KiB with a note, and none is empty', async (t) => {
  // The reader's own timer keeps no process alive.
  const alive = setInterval(() => {}, 1000)
  t.after(() => clearInterval(alive))
  const chunks = [
    'one\ntw',
    'o\r\n\n\r\nthree ü',
    ' ',
    Buffer.from('é').subarray(0, 1),
    Buffer.from('é').subarray(1),
    '\n',
    'x'.repeat(20_000),
    'x'.repeat(50_000),
    '\nafter\n',
    'no end',
  ]
  const lines: string[] = []
  const stream = Readable.from(chunks.map((chunk) => Buffer.from(chunk)))
  readLines(stream, (line) => lines.push(line))
  await new Promise((resolve) => stream.once('close', resolve))
  assert.deepEqual(lines, [
    'one',
    'two',
    'three ü é',
    `${'x'.repeat(16_384)}… [53616 bytes dropped]`,
    'after',
    'no end',
  ])
})

for (const [what, line, perSecond] of [
  ['a megabyte of long lines', `${'x'.repeat(999)}\n`, 1024],
  ['sixteen thousand lines', 'x\n', 16_384],
  ['a megabyte of an endless line', 'x'.repeat(1000), 0],
] as const) {
  test(`a flood is read at ${what} a second`, async (t) => {
    let now = 0
    t.mock.timers.enable({ apis: ['setTimeout'] })
    t.mock.method(performance, 'now', () => now)
    const chunk = Buffer.from(line.repeat(Math.ceil(65_536 / line.length)))
    let bytes = 0
    let most = 0
    let lines = 0
    const stream = new Readable({
      read() {
        bytes += chunk.length
        this.push(chunk)
      },
    })
    readLines(stream, () => (lines += 1))
    for (let slice = 1; slice <= 20 * 20; slice += 1) {
      const before = bytes
      for (let step = 0; step < 5; step += 1) await turn()
      most = Math.max(most, bytes - before)
      now += 50
      t.mock.timers.tick(50)
    }
    const slack = 5 * 65_536
    assert.ok(most <= 2 * slack, `${most} bytes at once hold up what else there is to do`)
    assert.ok(bytes <= 21 * 1024 * 1024 + slack, `${bytes} bytes in 20 s`)
    assert.ok(
      lines <= 21 * perSecond * 1.05 + (perSecond > 0 ? slack / line.length : 0),
      `${lines} lines in 20 s`,
    )
    assert.ok(
      bytes >= 15 * Math.min(1024 * 1024, (1024 * 1024 * line.length) / (line.length + 64)) * 0.8,
      `only ${bytes} bytes in 20 s`,
    )
    stream.destroy()
    // Its timer is cleared while the clock is still this test's.
    await once(stream, 'close')
  })
}
