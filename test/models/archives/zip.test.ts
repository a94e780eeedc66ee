import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  mkdirSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import zlib, { deflateRawSync, gzipSync } from 'node:zlib'
import { ServerError } from '../../../src/errors.ts'
import { crc32, crc32OfTable } from '../../../src/formats/crc32.ts'
import { DEFAULT_ARCHIVE_LIMITS, extractArchive } from '../../../src/models/archives/extract.ts'
import type { ArchiveLimits } from '../../../src/models/archives/extract.ts'
import { sharedPath, testShared } from '../../helpers/shared.ts'
import { zip64Extra, zipOf } from '../../helpers/zip.ts'
import type { ZipEntry, ZipOptions } from '../../helpers/zip.ts'

const MIB = 1024 * 1024
const hostile = sharedPath('hostile', 'zip')

/** A folder with room for one archive and one destination, removed after the test. */
function workplace(t: TestContext): { folder: string; archive: string; destination: string } {
  const folder = mkdtempSync(path.join(tmpdir(), 'onnxd-archive-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return { folder, archive: path.join(folder, 'a.zip'), destination: path.join(folder, 'out') }
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).toSorted()
}

/** The error of an extraction that must fail as the server expects. */
async function refusal(
  archive: string,
  destination: string,
  limits?: ArchiveLimits,
): Promise<ServerError> {
  const outcome = await extractArchive(archive, destination, limits).catch(
    (error: unknown) => error,
  )
  assert.ok(outcome instanceof ServerError, `expected a ServerError, got ${String(outcome)}`)
  return outcome
}

testShared(
  'the hostile archives are refused with the entry and the reason, and nothing is left',
  {},
  async (t) => {
    const { folder, destination } = workplace(t)
    const expected: Record<string, [status: number, reason: RegExp]> = {
      'abs.zip': [400, /"\/etc\/evil" has an absolute path/],
      'bad_crc.zip': [400, /"MAR-INF\/MANIFEST.json" has different headers/],
      'bomb_1gb.zip': [413, /"b" unpacks to more than 200 times/],
      'case.zip': [400, /"h.js" and "H.js" differ only in case/],
      'dev.zip': [400, /"d" is a character device/],
      'dir_then_file.zip': [400, /"a" occurs twice/],
      'dot.zip': [400, /"\.\/a" has an empty component/],
      'dup.zip': [400, /"h.js" occurs twice/],
      'empty.zip': [400, /not a valid zip file/],
      'encrypted.zip': [400, /"MAR-INF\/MANIFEST.json" is encrypted/],
      'fifo.zip': [400, /"f" is a FIFO/],
      'file_then_dir.zip': [400, /"a" is both a file and a folder/],
      'lfh_mismatch.zip': [400, /"h.js" has different headers/],
      'longname.zip': [400, /a file name of more than 255 bytes/],
      'method99.zip': [400, /method 99/],
      'overlap.zip': [413, /unpacks to more than 200 times/],
      'setuid.zip': [400, /"x.sh" is marked setuid/],
      'slip.zip': [400, /"\.\.\/evil.txt" points outside/],
      'slip_mid.zip': [400, /"a\/\.\.\/\.\.\/evil.txt" points outside/],
      'symlink_file.zip': [400, /"m.onnx" is a symbolic link/],
      'truncated.zip': [400, /not a valid zip file/],
      'unicode_nfd.zip': [400, /differ only in case or accents/],
    }
    // `nul.zip` lost its NUL when it was made: it holds one proper file.
    const proper = ['ok.zip', 'nul.zip']
    assert.deepEqual(
      readdirSync(hostile).toSorted(),
      [...Object.keys(expected), ...proper].toSorted(),
    )
    for (const [name, [status, reason]] of Object.entries(expected)) {
      const error = await refusal(path.join(hostile, name), destination)
      assert.equal(error.statusCode, status, name)
      assert.equal(
        error.type,
        status === 413 ? 'PayloadTooLargeException' : 'InvalidModelException',
      )
      assert.match(error.message, reason)
      assert.ok(!error.message.includes(folder), 'no path of this machine')
      assert.deepEqual(filesIn(folder), [], name)
    }
    for (const name of proper) {
      await extractArchive(path.join(hostile, name), destination)
      rmSync(destination, { recursive: true })
    }
  },
)

testShared(
  'the control archive is unpacked into a private folder of private files',
  {},
  async (t) => {
    const { destination } = workplace(t)
    await extractArchive(path.join(hostile, 'ok.zip'), destination)
    assert.deepEqual(filesIn(destination), ['MAR-INF', 'MAR-INF/MANIFEST.json', 'h.js'])
    assert.equal(readFileSync(path.join(destination, 'MAR-INF/MANIFEST.json'), 'utf8'), '{}')
    assert.equal(readFileSync(path.join(destination, 'h.js'), 'utf8'), 'x')
  },
)

test('every proper form of zip is unpacked, whatever modes it asks for', async (t) => {
  const { archive, destination } = workplace(t)
  const random = Buffer.from(
    Array.from({ length: 700_000 }, (_, index) => (index * 2_654_435_761) >>> 24),
  )
  const innerZip = zipOf([{ name: 'x', data: 'inner' }])
  const entries: ZipEntry[] = [
    { name: 'MAR-INF/', mode: 0o042775 },
    { name: 'MAR-INF/MANIFEST.json', data: '{}' },
    { name: 'program.sh', data: 'echo', mode: 0o100777 },
    { name: 'ünïcode/日本.txt', data: 'x'.repeat(5000) },
    { name: 'utf8-without-flag-é', data: 'x', flags: 0 },
    { name: 'empty', data: '' },
    { name: 'empty-deflated', data: '', isStored: false },
    { name: 'stored.bin', data: random, isStored: true },
    { name: 'deflated.bin', data: random },
    { name: 'streamed.bin', data: random, hasDescriptor: true },
    { name: 'streamed-stored.bin', data: 'abc', isStored: true, hasDescriptor: true },
    { name: 'no-mode', data: 'dos', mode: 0 },
    { name: '__proto__', data: 'just a name' },
    { name: 'constructor/toString', data: 'just names' },
    { name: '...', data: 'three dots' },
    { name: 'nested.zip', data: innerZip, isStored: true },
  ]
  const forms: [string, ZipOptions][] = [
    ['plain', {}],
    ['with a comment', { comment: Buffer.from('made by a tool') }],
    ['zip64', { zip64: {} }],
  ]
  for (const [form, options] of forms) {
    writeFileSync(archive, zipOf(entries, options))
    await extractArchive(archive, destination)
    assert.equal(statSync(destination).mode & 0o7777, 0o700)
    for (const { name, data = '' } of entries) {
      const file = path.join(destination, String(name))
      const stats = statSync(file)
      assert.equal(stats.mode & 0o7777, stats.isFile() ? 0o600 : 0o700, `${form}: ${String(name)}`)
      if (!stats.isFile()) continue
      assert.equal(stats.nlink, 1)
      assert.ok(readFileSync(file).equals(Buffer.from(data)), `${form}: ${String(name)}`)
    }
    rmSync(destination, { recursive: true })
  }
})

test('an entry is refused for its name, type, flags, sizes, checksum or neighbours', async (t) => {
  const { folder, archive, destination } = workplace(t)
  const ok: ZipEntry = { name: 'ok', data: 'x' }
  const deep = `${'d/'.repeat(2000)}f`
  const huge = 2n ** 63n
  const zeros = Buffer.alloc(11 * MIB)
  const inner = zipOf([{ name: 'b', data: 'x' }])
  const hidden = zipOf([{ name: 'evil', data: 'x' }])
  const cases: [what: string, archive: Buffer, reason: RegExp, status?: number][] = [
    ['dot dot', zipOf([ok, { name: 'a/..' }]), /"a\/\.\." points outside/],
    ['sibling prefix', zipOf([{ name: '../outX/f', data: 'x' }]), /points outside/],
    ['backslash', zipOf([{ name: '..\\evil', data: 'x' }]), /backslash/],
    ['drive', zipOf([{ name: 'C:/x', data: 'x' }]), /absolute/],
    ['root', zipOf([{ name: '/' }]), /absolute/],
    ['NUL', zipOf([{ name: 'a\0.js', data: 'x' }]), /"a\\u\{?0+\}?\.js" has a control character/],
    ['line break', zipOf([{ name: 'a\nb', data: 'x' }]), /control character/],
    ['no name', zipOf([{ name: '', data: 'x' }]), /has no name/],
    ['not UTF-8', zipOf([{ name: Buffer.from([0x66, 0xff]), data: 'x' }]), /not UTF-8/],
    ['empty part', zipOf([{ name: 'a//b', data: 'x' }]), /empty component/],
    ['deep path', zipOf([{ name: deep, data: 'x' }]), /more than 512 bytes/],
    ['33 levels', zipOf([{ name: `${'d/'.repeat(32)}f`, data: 'x' }]), /deeper than 32/],
    [
      'long path',
      zipOf([{ name: `${'x'.repeat(200)}/${'y'.repeat(200)}/${'z'.repeat(200)}`, data: 'x' }]),
      /more than 512 bytes/,
    ],
    [
      'case of folders',
      zipOf([
        { name: 'A/x', data: 'x' },
        { name: 'a/y', data: 'x' },
      ]),
      /"a" and "A" differ only/,
    ],
    [
      'NFD',
      zipOf([
        { name: 'é', data: 'x' },
        { name: 'e\u0301', data: 'x' },
      ]),
      /differ only in case or accents/,
    ],
    [
      'folder over file',
      zipOf([
        { name: 'a/b', data: 'x' },
        { name: 'a', data: 'x' },
      ]),
      /both a file and a folder/,
    ],
    ['folder twice', zipOf([{ name: 'a/' }, { name: 'a/' }]), /occurs twice/],
    [
      'file through link',
      zipOf([
        { name: 'd', data: '/tmp', mode: 0o120777 },
        { name: 'd/f', data: 'x' },
      ]),
      /"d" is a symbolic link/,
    ],
    ['socket', zipOf([{ name: 's', mode: 0o140644 }]), /a socket/],
    ['block device', zipOf([{ name: 's', mode: 0o060644 }]), /a block device/],
    ['unknown type', zipOf([{ name: 's', mode: 0o170644 }]), /an unknown type/],
    ['setgid file', zipOf([{ name: 's', data: 'x', mode: 0o102755 }]), /setuid or setgid/],
    ['folder without slash', zipOf([{ name: 's', mode: 0o040755 }]), /does not end in a slash/],
    ['folder with contents', zipOf([{ name: 's/', data: 'x' }]), /a folder with a file size/],
    ['encrypted', zipOf([{ ...ok, flags: 1 }]), /is encrypted/],
    ['strongly encrypted', zipOf([{ ...ok, flags: 0x41 }]), /encryption/],
    ['bzip2', zipOf([{ ...ok, method: 12 }]), /method 12/],
    ['crc', zipOf([{ ...ok, crc32: 1 }]), /"ok" does not match its CRC-32/],
    ['stored crc', zipOf([{ ...ok, isStored: true, crc32: 1 }]), /"ok" does not match its CRC-32/],
    [
      'size too small',
      zipOf([{ name: 'z', data: zeros, bytes: 10 }]),
      /"z" unpacks to more than the 10 bytes in its header/,
    ],
    [
      'size too large',
      zipOf([{ name: 'z', data: 'x'.repeat(10), bytes: MIB }]),
      /"z" unpacks to 10 bytes/,
    ],
    [
      'bytes after the stream',
      zipOf([
        {
          name: 'z',
          data: 'x',
          packed: Buffer.concat([deflateRawSync('x'), Buffer.alloc(600_000, 7)]),
        },
      ]),
      /"z" is not a complete deflate stream/,
    ],
    [
      'no deflate stream',
      zipOf([{ name: 'z', data: 'x', packed: Buffer.alloc(100, 0xff) }]),
      /"z" is not a complete deflate stream/,
    ],
    [
      'cut deflate stream',
      zipOf([{ name: 'z', data: 'xyz', packed: deflateRawSync('xyz').subarray(0, 2) }]),
      /"z" is not a complete deflate stream/,
    ],
    ['ratio', zipOf([{ name: 'z', data: zeros }]), /"z" unpacks to more than 200 times/, 413],
    [
      'ratio of many',
      zipOf(
        Array.from({ length: 30 }, (_, index) => ({
          name: `z${index}`,
          data: zeros.subarray(0, MIB),
        })),
      ),
      /it unpacks to more than 200 times/,
      413,
    ],
    [
      '4 GiB',
      zipOf([
        {
          name: 'z',
          data: 'x',
          bytes: 0xffffffff,
          packedBytes: 0xffffffff,
          extra: zip64Extra(2n ** 33n, 2n ** 32n),
        },
      ]),
      /larger than 4294967296 bytes/,
      413,
    ],
    [
      'zip64 sizes',
      zipOf([
        {
          name: 'z',
          data: 'x',
          bytes: 0xffffffff,
          packedBytes: 0xffffffff,
          extra: zip64Extra(huge, huge),
        },
      ]),
      /invalid size/,
    ],
    [
      'zip64 offset',
      zipOf([{ name: 'z', data: 'x', start: 0xffffffff, extra: zip64Extra(huge) }]),
      /invalid size/,
    ],
    [
      'zip64 offset past the end',
      zipOf([{ name: 'z', data: 'x', start: 0xffffffff, extra: zip64Extra(2n ** 40n) }]),
      /an offset beyond its end/,
    ],
    [
      'zip64 field too short',
      zipOf([{ name: 'z', data: 'x', bytes: 0xffffffff, extra: zip64Extra() }]),
      /zip64/,
    ],
    [
      'zip64 directory',
      zipOf([ok], { zip64: { directoryStart: huge } }),
      /an offset beyond its end/,
    ],
    ['zip64 record', zipOf([ok], { zip64: { recordStart: huge } }), /an offset beyond its end/],
    ['zip64 count', zipOf([ok], { zip64: { count: 100_000n } }), /has 100000 entries/],
    ['count', zipOf([ok], { count: 65_279 }), /has 65279 entries/],
    ['count too large', zipOf([ok], { count: 2 }), /an offset beyond its end/],
    [
      'count too small',
      zipOf([ok, { name: 'b', data: 'x' }], { count: 1 }),
      /does not end after its last entry/,
    ],
    [
      '10 001 entries',
      zipOf(Array.from({ length: 10_001 }, (_, index) => ({ name: `f${index}` }))),
      /has 10001 entries/,
    ],
    ['no entries', zipOf([]), /it is empty/],
    ['local name', zipOf([{ ...ok, localName: 'no' }]), /different headers/],
    ['packed size past the end', zipOf([{ ...ok, packedBytes: 5000 }]), /file data overflows/],
    [
      'overlapping data',
      zipOf([
        { name: 'a', data: inner, isStored: true },
        { name: 'b', data: 'x', start: 31 },
      ]),
      /"a" overlaps/,
    ],
    [
      'overlapping directory',
      zipOf([{ name: 'z', data: 'xxxx', isStored: true, packedBytes: 40, bytes: 40 }]),
      /"z" overlaps/,
    ],
    ['prefix', Buffer.concat([Buffer.from('#!/bin/sh\n'), zipOf([ok])]), /not a valid zip file/],
    ['gap', zipOf([ok], { gap: Buffer.alloc(30) }), /data that belongs to no entry/],
    ['second end in the comment', zipOf([ok], { comment: hidden }), /./],
    [
      'junk after the end',
      Buffer.concat([zipOf([ok]), Buffer.from('junk')]),
      /not a valid zip file/,
    ],
    ['HTML', Buffer.from('<!doctype html><title>404</title>'), /not a valid zip file/],
    ['one byte', Buffer.from('P'), /not a valid zip file/],
    ['gzip', gzipSync('x'), /it is truncated/],
  ]
  for (const [what, bytes, reason, status = 400] of cases) {
    writeFileSync(archive, bytes)
    const error = await refusal(archive, destination)
    assert.match(error.message, reason, what)
    assert.equal(error.statusCode, status, what)
    assert.ok(!error.message.includes(folder), what)
    assert.deepEqual(filesIn(folder), ['a.zip'], what)
  }
})

test('an archive hidden in the comment of another, with offsets that fit, is refused', async (t) => {
  const { folder, archive, destination } = workplace(t)
  const visible = zipOf([{ name: 'visible', data: 'x' }])
  const size = visible.length
  // Relative to the whole file the hidden entry starts behind the first archive.
  const hidden = zipOf([{ name: 'evil', data: 'x', start: size }])
  const directoryAt = hidden.indexOf('PK\x01\x02', 0, 'latin1')
  hidden.writeUInt32LE(size + directoryAt, hidden.length - 6)
  const whole = Buffer.concat([visible, hidden])
  whole.writeUInt16LE(hidden.length, size - 2)
  writeFileSync(archive, whole)
  assert.match((await refusal(archive, destination)).message, /data that belongs to no entry/)
  assert.deepEqual(filesIn(folder), ['a.zip'])
})

test('limits are settings, and what fills the disk is refused before it does', async (t) => {
  const { folder, archive, destination } = workplace(t)
  const limits = (changed: Partial<ArchiveLimits>): ArchiveLimits => ({
    ...DEFAULT_ARCHIVE_LIMITS,
    ...changed,
  })
  writeFileSync(
    archive,
    zipOf([
      { name: 'a/b', data: 'x'.repeat(3000) },
      { name: 'c', data: 'y' },
    ]),
  )
  const size = statSync(archive).size
  const cases: [Partial<ArchiveLimits>, number, RegExp][] = [
    [{ maxEntries: 1 }, 400, /at most 1 are allowed/],
    [{ maxDepth: 1 }, 400, /deeper than 1 level/],
    [{ maxPathBytes: 2 }, 400, /more than 2 bytes/],
    [{ maxTotalBytes: 3000 }, 413, /larger than 3000 bytes together/],
    [{ maxTotalBytes: size - 1 }, 413, new RegExp(`larger than ${size - 1} bytes\\.`)],
    [{ maxRatio: 2, ratioFreeBytes: 2999 }, 413, /"a\/b" unpacks to more than 2 times/],
  ]
  for (const [changed, status, reason] of cases) {
    const error = await refusal(archive, destination, limits(changed))
    assert.equal(error.statusCode, status)
    assert.match(error.message, reason)
  }
  await extractArchive(
    archive,
    destination,
    limits({
      maxEntries: 2,
      maxDepth: 2,
      maxPathBytes: 3,
      maxTotalBytes: 3001,
      ratioFreeBytes: 3001,
    }),
  )
  rmSync(destination, { recursive: true })

  const petabytes = 2n ** 52n
  writeFileSync(
    archive,
    zipOf([{ name: 'z', data: 'x', bytes: 0xffffffff, extra: zip64Extra(petabytes) }]),
  )
  const error = await refusal(
    archive,
    destination,
    limits({ maxTotalBytes: 2 ** 53, maxRatio: 2 ** 53 }),
  )
  assert.equal(error.statusCode, 507)
  assert.deepEqual(filesIn(folder), ['a.zip'])
})

test('only a regular file that is no link is opened, and a folder that exists is left alone', async (t) => {
  const { folder, archive, destination } = workplace(t)
  const fifo = path.join(folder, 'fifo')
  execFileSync('mkfifo', [fifo])
  assert.match((await refusal(fifo, destination)).message, /not a regular file/)
  assert.match((await refusal(folder, destination)).message, /not a regular file/)
  assert.match((await refusal(path.join(folder, 'none'), destination)).message, /cannot be opened/)
  writeFileSync(archive, zipOf([{ name: 'a', data: 'x' }]))
  symlinkSync(archive, path.join(folder, 'link'))
  assert.match((await refusal(path.join(folder, 'link'), destination)).message, /cannot be opened/)

  mkdirSync(destination)
  writeFileSync(path.join(destination, 'mine'), 'kept')
  const error = await refusal(archive, destination)
  assert.equal(error.statusCode, 500)
  assert.ok(!error.message.includes(folder))
  assert.deepEqual(readdirSync(destination), ['mine'])
  const lost = await refusal(archive, path.join(folder, 'none', 'out'))
  assert.ok(!lost.message.includes(folder))
})

test('1 000 small files are unpacked, and a bad one among them removes them all', async (t) => {
  const { folder, archive, destination } = workplace(t)
  const entries = Array.from({ length: 1000 }, (_, index) => ({
    name: `d${index % 10}/f${index}`,
    data: `content ${index}`,
  }))
  writeFileSync(archive, zipOf(entries))
  await extractArchive(archive, destination)
  assert.equal(filesIn(destination).length, 1010)
  assert.equal(readFileSync(path.join(destination, 'd7/f777'), 'utf8'), 'content 777')
  rmSync(destination, { recursive: true })

  writeFileSync(
    archive,
    zipOf(entries.map((entry, index) => (index === 500 ? { ...entry, crc32: 0 } : entry))),
  )
  assert.match(
    (await refusal(archive, destination)).message,
    /"d0\/f500" does not match its CRC-32/,
  )
  assert.deepEqual(filesIn(folder), ['a.zip'])
})

test('both CRC-32 functions agree with the known value, in one piece and in two', () => {
  const digits = Buffer.from('123456789')
  for (const sum of [crc32, crc32OfTable]) {
    assert.equal(sum(digits), 0xcbf43926)
    assert.equal(sum(digits.subarray(4), sum(digits.subarray(0, 4))), 0xcbf43926)
    assert.equal(sum(Buffer.alloc(0)), 0)
    assert.equal(sum(Buffer.alloc(100_000, 0xff)), crc32OfTable(Buffer.alloc(100_000, 0xff)))
  }
  if (typeof zlib.crc32 === 'function') assert.equal(crc32, zlib.crc32)
})
