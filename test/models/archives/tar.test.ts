import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { gzipSync } from 'node:zlib'
import { ServerError } from '../../../src/errors.ts'
import { DEFAULT_ARCHIVE_LIMITS, extractArchive } from '../../../src/models/archives/extract.ts'
import type { ArchiveLimits } from '../../../src/models/archives/extract.ts'
import { discard, prepareFromUrl } from '../../../src/models/sources/prepare.ts'
import { listStore } from '../../../src/models/sources/store/listing.ts'
import { TAR_END, paxRecords, tarOf } from '../../helpers/tar.ts'
import type { TarEntry } from '../../helpers/tar.ts'

const MIB = 1024 * 1024

interface Workplace {
  readonly folder: string
  readonly archive: string
  readonly destination: string
}

function workplace(t: TestContext): Workplace {
  const folder = mkdtempSync(path.join(tmpdir(), 'onnxd-tar-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return { folder, archive: path.join(folder, 'a.tar.gz'), destination: path.join(folder, 'out') }
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).toSorted()
}

async function refusal(
  { archive, destination }: Workplace,
  packed: Buffer,
  limits: Partial<ArchiveLimits> = {},
): Promise<ServerError> {
  writeFileSync(archive, packed)
  const outcome = await extractArchive(archive, destination, {
    ...DEFAULT_ARCHIVE_LIMITS,
    ...limits,
  }).catch((error: unknown) => error)
  assert.ok(outcome instanceof ServerError, `expected a ServerError, got ${String(outcome)}`)
  return outcome
}

test('files and folders are unpacked with our own modes, whatever the archive says', async (t) => {
  const { archive, destination } = workplace(t)
  const long = `${'d'.repeat(120)}/${'f'.repeat(200)}`
  const large = Buffer.alloc(700_001, 'ab')
  const entries: TarEntry[] = [
    { name: 'pax_global_header', type: 'g', data: paxRecords(['comment', 'a commit']) },
    { name: './' },
    { name: './m/', mode: '0002777\0' },
    { name: './m/model.onnx', data: large, mode: '0000777\0' },
    { name: 'empty' },
    { name: 'old', type: '\0', data: 'x'.repeat(512), magic: 'ustar  \0' },
    { name: 'f', prefix: 'pre/fix', data: 'posix' },
    { name: '././@LongLink', type: 'L', data: `${long}\0`, magic: 'ustar  \0' },
    { name: long.slice(0, 100), data: 'gnu', magic: 'ustar  \0' },
    {
      name: 'x',
      type: 'x',
      data: paxRecords(['mtime', '1.5'], ['path', 'grüße/\u{1f600}'], ['size', '3'], ['uid', '0']),
    },
    { name: 'another name', data: 'pax' },
    { name: 'folder without slash', type: '5' },
  ]
  writeFileSync(archive, gzipSync(tarOf(entries, Buffer.alloc(10_240))))
  await extractArchive(archive, destination)
  const read = (name: string): string => readFileSync(path.join(destination, name), 'utf8')
  assert.deepEqual(
    filesIn(destination),
    [
      long.slice(0, 120),
      long,
      'empty',
      'folder without slash',
      'grüße',
      'grüße/\u{1f600}',
      'm',
      'm/model.onnx',
      'old',
      'pre',
      'pre/fix',
      'pre/fix/f',
    ].toSorted(),
  )
  assert.ok(readFileSync(path.join(destination, 'm/model.onnx')).equals(large))
  assert.equal(read('old').length, 512)
  assert.deepEqual(['empty', 'pre/fix/f', long, 'grüße/\u{1f600}'].map(read), [
    '',
    'posix',
    'gnu',
    'pax',
  ])
  for (const name of filesIn(destination)) {
    const stats = statSync(path.join(destination, name))
    assert.equal(stats.mode & 0o7777, stats.isFile() ? 0o600 : 0o700, name)
    if (stats.isFile()) assert.equal(stats.nlink, 1)
  }
})

test('what tar itself writes is unpacked, in each of its formats', async (t) => {
  const { folder, archive, destination } = workplace(t)
  const source = path.join(folder, 'source', 'n'.repeat(90))
  mkdirSync(source, { recursive: true })
  writeFileSync(path.join(source, `ä${'m'.repeat(80)}.onnx`), 'weights')
  for (const format of ['gnu', 'pax', 'ustar']) {
    execFileSync('tar', [
      `--format=${format}`,
      '-czf',
      archive,
      '-C',
      path.join(folder, 'source'),
      '.',
    ])
    await extractArchive(archive, destination)
    const file = path.join(destination, 'n'.repeat(90), `ä${'m'.repeat(80)}.onnx`)
    assert.equal(readFileSync(file, 'utf8'), 'weights', format)
    rmSync(destination, { recursive: true })
  }
})

test('hostile archives are refused with a reason, and nothing is left or written elsewhere', async (t) => {
  const place = workplace(t)
  const ok: TarEntry = { name: 'ok', data: 'x' }
  const pax = (...records: [string, string][]): TarEntry => ({
    name: 'pax',
    type: 'x',
    data: paxRecords(...records),
  })
  const raw = (data: string): TarEntry => ({ name: 'pax', type: 'x', data })
  const cases: [what: string, entries: TarEntry[], reason: RegExp, status?: number][] = [
    ['slip', [{ name: '../evil', data: 'x' }], /"\.\.\/evil" points outside/],
    ['slip inside', [{ name: 'a/../../evil', data: 'x' }], /points outside/],
    ['slip after ./', [{ name: './../evil', data: 'x' }], /points outside/],
    ['slip by prefix', [{ name: 'evil', prefix: '..' }], /points outside/],
    ['slip by folder', [{ name: '../evil/' }], /points outside/],
    ['slip by extension', [pax(['path', '../evil']), ok], /points outside/],
    ['slip by long name', [{ name: 'L', type: 'L', data: '../evil\0' }, ok], /points outside/],
    ['absolute', [{ name: '/etc/evil', data: 'x' }], /absolute/],
    ['absolute after ./', [{ name: './/etc/evil', data: 'x' }], /absolute/],
    ['absolute by extension', [pax(['path', '/etc/evil']), ok], /absolute/],
    ['two dots and slashes', [{ name: '././a', data: 'x' }], /empty component/],
    ['backslash', [{ name: 'a\\b' }], /backslash/],
    ['control character', [{ name: 'a\u001b[2J' }], /control character/],
    ['NUL by extension', [pax(['path', 'a\0b']), ok], /control character/],
    ['NUL by long name', [{ name: 'L', type: 'L', data: 'a\0b\0' }, ok], /control character/],
    ['not UTF-8', [{ name: Buffer.from([0x61, 0xff]) }], /not UTF-8/],
    ['no name', [{ name: '' }], /no name/],
    ['a file called ./', [{ name: './', type: '0', data: 'x' }], /no name/],
    ['hard link', [ok, { name: 'l', type: '1', linkName: 'ok' }], /"l" is a hard link/],
    ['symbolic link', [{ name: 'l', type: '2', linkName: '/etc' }], /"l" is a symbolic link/],
    ['character device', [{ name: 'd', type: '3' }], /a character device/],
    ['block device', [{ name: 'd', type: '4' }], /a block device/],
    ['FIFO', [{ name: 'd', type: '6' }], /a FIFO/],
    ['contiguous', [{ name: 'd', type: '7' }], /unknown type/],
    ['sparse', [{ name: 's', type: 'S', data: 'x' }], /a sparse file/],
    ['long link', [{ name: 'K', type: 'K', data: 'x\0' }, ok], /a link/],
    ['other type', [{ name: 'V', type: 'V' }], /unknown type/],
    ['type with a high bit', [{ name: 'V', type: '\u00b0' }], /unknown type/],
    ['sparse by extension', [pax(['GNU.sparse.major', '1']), ok], /sparse/],
    ['link by extension', [pax(['linkpath', '/etc/passwd']), ok], /link/],
    ['path for all', [{ ...pax(['path', 'p']), type: 'g' }, ok], /two header extensions/],
    ['size for all', [{ ...pax(['size', '1']), type: 'g' }, ok], /two header extensions/],
    ['two extensions', [pax(['uid', '1']), pax(['uid', '2']), ok], /two header extensions/],
    ['path twice', [pax(['path', 'a'], ['path', 'b']), ok], /malformed header extension/],
    [
      'long name and path',
      [{ name: 'L', type: 'L', data: 'a\0' }, pax(['path', 'b']), ok],
      /two header extensions/,
    ],
    ['extension of nothing', [ok, pax(['path', 'a'])], /belongs to no entry/],
    ['record too long', [raw('99 path=a\n'), ok], /malformed header extension/],
    ['record too short', [raw('3 path=a\n'), ok], /malformed header extension/],
    ['record of length 0', [raw('0 path=a\n'), ok], /malformed header extension/],
    ['record of no length', [raw(' path=a\n'), ok], /malformed header extension/],
    ['record without a key', [raw('5 =a\n'), ok], /malformed header extension/],
    ['record without a value', [raw('7 path\n'), ok], /malformed header extension/],
    ['record without an end', [raw('10 path=ab'), ok], /malformed header extension/],
    ['size no number', [pax(['size', '1e3']), ok], /malformed header extension/],
    ['size negative', [pax(['size', '-1']), ok], /malformed header extension/],
    ['other charset', [pax(['hdrcharset', 'BINARY']), ok], /malformed header extension/],
    ['size by extension past the end', [pax(['size', '99999']), ok], /is truncated/],
    ['size by extension past the limit', [pax(['size', '9'.repeat(14)]), ok], /larger than/, 413],
    [
      'binary size',
      [{ name: 'b', size: Buffer.from([0x80, ...Buffer.alloc(11)]) }],
      /invalid size/,
    ],
    ['negative size', [{ name: 'b', size: Buffer.alloc(12, 0xff) }], /invalid size/],
    ['size no octal', [{ name: 'b', size: '00000000089\0' }], /invalid size/],
    ['empty size', [{ name: 'b', size: Buffer.alloc(12) }], /invalid size/],
    ['mode no octal', [{ name: 'b', mode: 'abcdefg\0' }], /invalid mode/],
    ['large extension', [raw('x'.repeat(MIB + 1)), ok], /larger than 1 MiB/],
    [
      'many records',
      [pax(...Array.from({ length: 1001 }, (_, index): [string, string] => [`k${index}`, ''])), ok],
      /more than 1000 records/,
    ],
    ['setuid', [{ name: 's', mode: '0004755\0' }], /setuid/],
    ['folder with contents', [{ name: 'f/', data: 'x' }], /folder with a file size/],
    [
      'folder with contents by extension',
      [pax(['size', '1']), { name: 'f/' }],
      /folder with a file size/,
    ],
    ['file with a folder’s name', [{ name: 'f/', type: '0' }], /whose name ends in a slash/],
    ['twice', [ok, ok], /"ok" occurs twice/],
    ['twice with and without ./', [ok, { name: './ok' }], /occurs twice/],
    ['case', [ok, { name: 'OK' }], /differ only in case/],
    ['file then folder', [ok, { name: 'ok/x' }], /both a file and a folder/],
    ['folder then file', [{ name: 'a/b' }, { name: 'a' }], /both a file and a folder/],
    ['long component', [pax(['path', 'n'.repeat(256)]), ok], /more than 255 bytes/],
    ['depth', [pax(['path', 'd/'.repeat(40)]), ok], /deeper than/],
    ['checksum', [{ ...ok, checksum: '000000\0 ' }], /wrong checksum/],
    ['checksum no number', [{ ...ok, checksum: '\0'.repeat(8) }], /wrong checksum/],
    ['no magic', [{ ...ok, magic: '\0'.repeat(8) }], /not a tar file/],
    ['nothing', [], /it is empty/],
  ]
  for (const [what, entries, reason, status = 400] of cases) {
    const error = await refusal(place, gzipSync(tarOf(entries)))
    assert.match(error.message, reason, what)
    assert.equal(error.statusCode, status, what)
    assert.ok(!error.message.includes(place.folder), what)
    assert.deepEqual(filesIn(place.folder), ['a.tar.gz'], what)
  }
})

test('an archive that is not whole, or more than one, is refused', async (t) => {
  const place = workplace(t)
  const tar = tarOf([{ name: 'a', data: 'x'.repeat(3000) }])
  const whole = gzipSync(tar)
  const cases: [what: string, packed: Buffer, reason: RegExp][] = [
    ['no end', gzipSync(tar.subarray(0, -1024)), /is truncated/],
    ['half an end', gzipSync(tar.subarray(0, -512)), /is truncated/],
    ['cut in the data', gzipSync(tar.subarray(0, 2000)), /is truncated/],
    ['cut in the padding', gzipSync(tar.subarray(0, -1030)), /is truncated/],
    ['one zero block', gzipSync(tarOf([{ name: 'a' }], Buffer.alloc(512, 0))), /is truncated/],
    ['second archive', gzipSync(Buffer.concat([tar, tarOf([{ name: 'b' }])])), /after its end/],
    [
      'zero block between entries',
      gzipSync(Buffer.concat([tarOf([{ name: 'a' }], Buffer.alloc(512)), tarOf([{ name: 'b' }])])),
      /has data after its end/,
    ],
    ['gzip cut', whole.subarray(0, -10), /not a complete gzip stream/],
    ['gzip without its end', whole.subarray(0, -1), /not a complete gzip stream/],
    [
      'gzip with a wrong CRC-32',
      Buffer.from(whole).fill(0, whole.length - 8, whole.length - 4),
      /not a complete gzip stream/,
    ],
    ['junk behind', Buffer.concat([whole, Buffer.from('junk')]), /not a complete gzip stream/],
    ['zeros behind', Buffer.concat([whole, Buffer.alloc(512)]), /not a complete gzip stream/],
    ['second archive as a member', Buffer.concat([whole, whole]), /after its end/],
    ['gzip in gzip', gzipSync(whole), /it is truncated|not a tar file/],
    ['HTML', gzipSync('<!doctype html>'.repeat(100)), /not a tar file/],
    ['header alone', Buffer.from([0x1f, 0x8b]), /not a complete gzip stream/],
  ]
  for (const [what, packed, reason] of cases) {
    const error = await refusal(place, packed)
    assert.match(error.message, reason, what)
    assert.equal(error.statusCode, 400, what)
    assert.deepEqual(filesIn(place.folder), ['a.tar.gz'], what)
  }
})

test('limits hold while the archive streams, and a bomb is refused long before it is unpacked', async (t) => {
  const place = workplace(t)
  const three = gzipSync(
    tarOf([{ name: 'a/b', data: 'x'.repeat(3000) }, { name: 'c', data: 'y' }, { name: 'd/' }]),
  )
  const cases: [Partial<ArchiveLimits>, status: number, reason: RegExp][] = [
    [{ maxEntries: 2 }, 400, /more than 2 entries/],
    [{ maxDepth: 1 }, 400, /deeper than 1 level/],
    [{ maxPathBytes: 2 }, 400, /more than 2 bytes/],
    [{ maxTotalBytes: 3000 }, 413, /larger than 3000 bytes together/],
    [{ maxTotalBytes: three.length - 1 }, 413, /it is larger than/],
    [{ maxRatio: 2, ratioFreeBytes: 2999 }, 413, /more than 2 times its size/],
  ]
  for (const [limits, status, reason] of cases) {
    const error = await refusal(place, three, limits)
    assert.equal(error.statusCode, status)
    assert.match(error.message, reason)
    assert.deepEqual(filesIn(place.folder), ['a.tar.gz'])
  }

  const bomb = tarOf([{ name: 'zeros', data: Buffer.alloc(16 * MIB) }])
  const zeros = gzipSync(bomb, { level: 9 })
  assert.ok(zeros.length * 200 < bomb.length)
  const padding = gzipSync(tarOf([{ name: 'a' }], Buffer.alloc(16 * MIB)), { level: 9 })
  const extensions = gzipSync(
    tarOf([
      ...Array.from({ length: 10_001 }, () => [{ name: 'g', type: 'g', data: '' }]).flat(),
      { name: 'a' },
    ]),
  )
  const entries = gzipSync(
    tarOf(Array.from({ length: 1001 }, (_, index) => ({ name: `${index}` }))),
  )
  for (const [packed, status, reason, limits] of [
    [zeros, 413, /more than 200 times/, {}],
    [padding, 413, /more than 200 times/, {}],
    [extensions, 400, /more than 10000 entries/, {}],
    // Ten times as many files would take seconds.
    [entries, 400, /more than 1000 entries/, { maxEntries: 1000 }],
  ] as const) {
    const error = await refusal(place, packed, limits)
    assert.match(error.message, reason)
    assert.equal(error.statusCode, status)
    assert.deepEqual(filesIn(place.folder), ['a.tar.gz'])
  }
  const endless = gzipSync(tarOf([{ name: 'a' }], Buffer.alloc(40 * MIB)))
  const error = await refusal(place, endless, { maxRatio: 1e6, maxTotalBytes: MIB })
  assert.match(error.message, /unpacks to more than/)
  assert.equal(TAR_END.length, 1024)
})

test('a .tar.gz of a model store is a model, with or without a folder around it', async (t) => {
  const { folder } = workplace(t)
  const modelStore = path.join(folder, 'store')
  mkdirSync(modelStore)
  const temporaryRoot = path.join(folder, 'temporary')
  const network = { name: 'w/model.onnx', data: 'weights' }
  writeFileSync(
    path.join(modelStore, 'plain-one.tar.gz'),
    gzipSync(tarOf([{ ...network, name: 'model.onnx' }])),
  )
  writeFileSync(
    path.join(modelStore, 'wrapped.tgz'),
    gzipSync(tarOf([{ name: './' }, { name: './w/' }, network])),
  )
  // The archiver of TorchServe calls them .mar too; the bytes decide.
  writeFileSync(path.join(modelStore, 'other.mar'), gzipSync(tarOf([network])))
  assert.deepEqual(await listStore(modelStore), ['other.mar', 'plain-one.tar.gz', 'wrapped.tgz'])
  for (const [url, name] of [
    ['plain-one.tar.gz', 'plain_one'],
    ['wrapped.tgz', 'wrapped'],
    ['other.mar', 'other'],
  ] as const) {
    const options = { modelStore, temporaryRoot, allowLocalPaths: false }
    const [model, ...others] = await prepareFromUrl(url, options)
    assert.ok(model)
    assert.equal(others.length, 0)
    assert.equal(model.name, name)
    assert.equal(readFileSync(path.join(model.modelPath, 'model.onnx'), 'utf8'), 'weights')
    await discard(model)
    assert.deepEqual(readdirSync(temporaryRoot), [])
  }
})
