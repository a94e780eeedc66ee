/**
 * Block Z: archives with false sizes, paths out of their folder, huge contents, or unneeded files.
 * Z14 is in `test/fuzz`.
 */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { deflateRawSync, gzipSync } from 'node:zlib'
import { bothFormats, deflatedZeros, tarBomb, uploadForm, zipBomb } from '../helpers/archives.ts'
import type { ArchivedFile } from '../helpers/archives.ts'
import { addModel } from '../helpers/onnx-files.ts'
import { runtimeFolder, temporaryFolder } from '../helpers/server.ts'
import { paxRecords, tarOf } from '../helpers/tar.ts'
import type { TarEntry } from '../helpers/tar.ts'
import { zip64Extra, zipOf } from '../helpers/zip.ts'
import type { ZipEntry, ZipOptions } from '../helpers/zip.ts'
import {
  assertError,
  assertUnharmed,
  block,
  heldBy,
  isFull,
  size,
  startLaboratory,
} from './harness.ts'
import type { Answer, Laboratory } from './harness.ts'

const MIB = 1024 * 1024
/** A bomb is refused at its limit, long before it is unpacked; a busy machine takes longer. */
const BOMB_MS = size(10_000, 2000)
const HUGE = 2n ** 63n

const row = block()

/** An archive, the statuses that it may be refused with (400 alone if none), and why. */
interface Attack {
  readonly what: string
  readonly fileName: string
  readonly bytes: Buffer
  readonly reason: RegExp
  readonly statuses?: readonly number[]
}

const inZip = (
  what: string,
  entries: readonly ZipEntry[],
  reason: RegExp,
  options: ZipOptions = {},
): Attack => ({ what, fileName: 'm.zip', bytes: zipOf(entries, options), reason })

const inTar = (what: string, entries: readonly TarEntry[], reason: RegExp): Attack => ({
  what,
  fileName: 'm.tar.gz',
  bytes: gzipSync(tarOf(entries), { level: 1 }),
  reason,
})

const inBoth = (what: string, files: readonly ArchivedFile[], reason: RegExp): Attack[] =>
  bothFormats(files).map(([fileName, bytes]) => ({ what, fileName, bytes, reason }))

const pax = (...records: [string, string][]): TarEntry => ({
  name: 'pax',
  type: 'x',
  data: paxRecords(...records),
})
const longName = (name: string): TarEntry => ({ name: 'L', type: 'L', data: `${name}\0` })
const ok = { name: 'ok', data: 'x' }

async function send(server: Laboratory, fileName: string, bytes: Buffer): Promise<Answer> {
  return server.call('POST', '/models', uploadForm('attacked', bytes, fileName))
}

/** Uploads each archive. It must be refused as it says, and leave nothing. */
async function refuseAll(server: Laboratory, attacks: readonly Attack[]): Promise<void> {
  const before = heldBy(server).files
  for (const { what, fileName, bytes, reason, statuses = [400] } of attacks) {
    const title = `${what} in ${fileName}`
    const answer = await send(server, fileName, bytes)
    assert.ok(statuses.includes(answer.status), `${title}: ${answer.status} ${answer.text}`)
    assertError(answer, ...statuses)
    assert.match((JSON.parse(answer.text) as { message: string }).message, reason, title)
    assert.equal(heldBy(server).files, before, `${title} leaves files`)
  }
}

row('Z01', 'names that lead out of the archive are refused, nothing is written', async (server) => {
  const outside = `/onnxd-evil-${process.pid}`
  const attacks = [
    ...inBoth('dot dot', [{ name: '../evil', data: 'x' }], /"\.\.\/evil" points outside/),
    ...inBoth('dot dot inside', [{ name: 'a/../../evil', data: 'x' }], /points outside/),
    ...inBoth('dot dot after a sound file', [ok, { name: 'a/..', data: 'x' }], /points outside/),
    ...inBoth('absolute', [{ name: outside, data: 'x' }], /absolute path/),
    ...inBoth('two slashes', [{ name: `/${outside}`, data: 'x' }], /absolute path/),
    ...inBoth('backslashes', [{ name: '..\\evil', data: 'x' }], /backslash/),
    ...inBoth('drive', [{ name: 'C:/x', data: 'x' }], /absolute path/),
    inZip('NUL', [{ name: 'a\0.js', data: 'x' }], /control character/),
    inZip('folder', [{ name: '../evil/' }], /points outside/),
    inTar('NUL', [pax(['path', 'a\0b']), ok], /control character/),
    inTar('extension', [pax(['path', '../evil']), ok], /points outside/),
    inTar('absolute in an extension', [pax(['path', outside]), ok], /absolute path/),
    inTar('long name', [longName('../evil'), ok], /points outside/),
    inTar('prefix', [{ name: 'evil', prefix: '..', data: 'x' }], /points outside/),
    inTar('dot dot behind ./', [{ name: './../evil', data: 'x' }], /points outside/),
  ]
  await refuseAll(server, attacks)
  assert.ok(!existsSync(outside))
})

row(
  'Z02',
  'a folder beside the own one, whose name begins alike, is not reached',
  async (server) => {
    const runtime = path.basename(runtimeFolder(server))
    const names = ['../model-X/f', '../modelX/f', `../../${runtime}X/f`, `../../../${runtime}X/f`]
    await refuseAll(
      server,
      names.flatMap((name) => inBoth(name, [{ name, data: 'x' }], /points outside/)),
    )
  },
)

row('Z03', 'links, devices, FIFOs, sockets and setuid bits are refused', async (server) => {
  const link = { name: 'd', data: '/tmp', mode: 0o120777 }
  const secret = { name: 'm.onnx', data: '/etc/passwd', mode: 0o120777 }
  const model = { name: 'model.onnx', data: addModel(1) }
  const ofMode = (mode: number): ZipEntry[] => [model, { name: 's', data: 'x', mode }]
  const ofType = (type: string): TarEntry[] => [model, { name: 's', type, linkName: 'model.onnx' }]
  await refuseAll(server, [
    inZip('link and a file through it', [link, { name: 'd/f', data: 'x' }], /symbolic link/),
    inZip('link to a file of the system', [secret], /"m\.onnx" is a symbolic link/),
    inZip('FIFO', ofMode(0o010644), /a FIFO/),
    inZip('character device', ofMode(0o020644), /a character device/),
    inZip('block device', ofMode(0o060644), /a block device/),
    inZip('socket', ofMode(0o140644), /a socket/),
    inZip('setuid', ofMode(0o104755), /setuid or setgid/),
    inZip('setgid', ofMode(0o102755), /setuid or setgid/),
    inTar(
      'link and a file through it',
      [
        { name: 'd', type: '2', linkName: '/tmp' },
        { name: 'd/f', data: 'x' },
      ],
      /symbolic link/,
    ),
    inTar(
      'link to a file of the system',
      [{ name: 'm.onnx', type: '2', linkName: '/etc/passwd' }],
      /"m\.onnx" is a symbolic link/,
    ),
    inTar('hard link', ofType('1'), /a hard link/),
    inTar('character device', ofType('3'), /a character device/),
    inTar('block device', ofType('4'), /a block device/),
    inTar('FIFO', ofType('6'), /a FIFO/),
    inTar('link in an extension', [pax(['linkpath', '/etc/passwd']), ok], /it contains a link/),
    inTar('setuid', [{ ...ok, mode: '0004755\0' }], /setuid or setgid/),
  ])
})

row('Z04', 'archives that unpack to far more are refused at their limit', async (server) => {
  const bombs: [what: string, fileName: string, bytes: Buffer][] = [
    ['1 GiB of zeros', 'm.zip', zipBomb(1024)],
    ['1 GiB of zeros', 'm.tar.gz', tarBomb(1024)],
    ['just above the ratio', 'm.zip', zipBomb(11)],
    ['just above the ratio', 'm.tar.gz', tarBomb(11)],
    ['gigabytes in many files', 'm.zip', zipOf(zeroFiles(100, 1))],
  ]
  for (const [what, fileName, bytes] of bombs) {
    const title = `${what} in ${fileName}, ${bytes.length} bytes`
    const startedAt = performance.now()
    const answer = await send(server, fileName, bytes)
    const tookMs = performance.now() - startedAt
    assertError(answer, 413)
    assert.match(answer.text, /unpacks to more than 200 times its size/, title)
    assert.ok(tookMs < BOMB_MS, `${title} took ${tookMs} ms`)
  }
  // An archive in an archive is a file like any other.
  let nested = zipBomb(1024)
  for (let level = 0; level < 10; level += 1) nested = zipOf([{ name: 'inner.zip', data: nested }])
  await refuseAll(server, [
    { what: 'ten nested archives', fileName: 'm.zip', bytes: nested, reason: /no .onnx file/ },
    ...inBoth('an archive for a model', [{ name: 'a.onnx', data: nested }], /zip/i),
  ])
})

const zeroFiles = (count: number, mib: number): ZipEntry[] =>
  Array.from({ length: count }, (_, index) => ({
    name: `z${index}`,
    packed: deflatedZeros(mib),
    method: 8,
    bytes: mib * MIB,
  }))

row('Z05', 'entries that share their bytes are refused', async (server) => {
  const bytes = 10 * MIB
  const noise = Buffer.from(
    Array.from({ length: MIB }, (_, index) => (index * 2_654_435_761) >>> 24),
  )
  const first: ZipEntry = { name: 'f0', data: noise, isStored: true }
  const again = (index: number, more: Partial<ZipEntry> = {}): ZipEntry => ({
    name: `f${index}`,
    packed: Buffer.alloc(0),
    bytes,
    packedBytes: bytes,
    start: 0,
    ...more,
  })
  const shared = { bytes: noise.length, packedBytes: noise.length, localName: 'f0' }
  await refuseAll(server, [
    {
      ...inZip(
        '2000 times 10 MiB',
        [first, ...Array.from({ length: 2000 }, (_, index) => again(index + 1))],
        /unpacks to more than 200 times its size|larger than \d+ bytes together/,
      ),
      statuses: [413],
    },
    inZip('the same bytes twice', [first, again(1, shared)], /different headers|overlap/),
    inZip(
      'an archive and an entry of it',
      [
        { name: 'a', data: zipOf([{ name: 'b', data: 'x' }]), isStored: true },
        { name: 'b', data: 'x', start: 31 },
      ],
      /"a" overlaps/,
    ),
  ])
})

row('Z06', 'too many entries, too deep and too long paths are refused', async (server) => {
  const count = size(10_001, 100_000)
  const many = Array.from({ length: count }, (_, index) => ({ name: `f${index}` }))
  // A comment for all entries: it makes no file.
  const headers = many.map(() => ({ name: 'g', type: 'g' }))
  const deep = `${'d/'.repeat(2000)}f`
  const long = Array.from({ length: 6 }, (_, index) => `${index}`.repeat(200)).join('/')
  const both = (what: string, name: string, reason: RegExp): Attack[] => [
    inZip(what, [{ name, data: 'x' }], reason),
    inTar(what, [pax(['path', name]), ok], reason),
    inTar(`${what} as a long name`, [longName(name), ok], reason),
  ]
  await refuseAll(server, [
    inZip('entries', many, new RegExp(`has ${count} entries; at most 10000`)),
    inTar('headers', headers, /more than 10000 entries/),
    ...(isFull ? [inTar('entries', many, /more than 10000 entries/)] : []),
    ...both('2000 levels', deep, /more than 512 bytes|deeper than/),
    ...both('33 levels', `${'d/'.repeat(32)}f`, /deeper than 32 levels/),
    ...both('a name of 300 bytes', 'n'.repeat(300), /file name of more than 255 bytes/),
    ...both('a path of more than 1 KiB', long, /more than 512 bytes/),
    inTar(
      'an extension of 2 MiB',
      [pax(['comment', 'x'.repeat(2 * MIB)]), ok],
      /larger than 1 MiB/,
    ),
  ])
})

row('Z07', 'sizes that are not those of the contents are refused', async (server) => {
  const ten = 'x'.repeat(10)
  const mib = (count: number): string => `${(count * MIB).toString(8).padStart(11, '0')}\0`
  await refuseAll(server, [
    inZip(
      '10 bytes that inflate to 100 MiB',
      [{ name: 'z', packed: deflatedZeros(100), method: 8, bytes: 10 }],
      /unpacks to more than the 10 bytes in its header/,
    ),
    inZip('1 MiB that inflates to 10 bytes', [{ name: 'z', data: ten, bytes: MIB }], /to 10 bytes/),
    {
      ...inZip(
        '100 MiB that inflate to 10 bytes',
        [{ name: 'z', data: ten, bytes: 100 * MIB }],
        /unpacks to more than 200 times/,
      ),
      statuses: [413],
    },
    inZip(
      'stored, 5 of 10 bytes',
      [{ name: 'z', data: ten, isStored: true, bytes: 5 }],
      /size|10/i,
    ),
    inTar(
      '10 bytes of 1000',
      [{ name: 'z', data: 'x'.repeat(1000), size: '00000000012\0' }],
      /tar/,
    ),
    inTar('100 MiB of 10 bytes', [{ name: 'z', data: ten, size: mib(100) }], /is truncated/),
    inTar('100 MiB in an extension', [pax(['size', `${100 * MIB}`]), ok], /is truncated/),
  ])
})

row('Z08', 'damaged, cut, encrypted and ambiguous archives are refused', async (server) => {
  const tar = tarOf([{ name: 'a', data: 'x'.repeat(3000) }])
  const packedTar = gzipSync(tar)
  const raw = (what: string, fileName: string, bytes: Buffer, reason: RegExp): Attack => ({
    what,
    fileName,
    bytes,
    reason,
  })
  const whole = zipOf([{ name: 'model.onnx', data: addModel(1) }])
  const cuts = [0.1, 0.3, 0.5, 0.7, 0.9, 0.99]
  const damaged = Buffer.from(packedTar)
  damaged.fill(0xff, 12, 20)
  const wrongSum = Buffer.from(packedTar).fill(0, packedTar.length - 8, packedTar.length - 4)
  await refuseAll(server, [
    inZip('CRC-32', [{ ...ok, crc32: 1 }], /"ok" does not match its CRC-32/),
    inZip('CRC-32, stored', [{ ...ok, isStored: true, crc32: 1 }], /does not match its CRC-32/),
    ...cuts.flatMap((share) => [
      raw(`cut at ${share}`, 'm.zip', cut(whole, share), /not a valid zip file|is truncated/),
      raw(
        `cut at ${share}`,
        'm.tar.gz',
        cut(packedTar, share),
        /complete gzip stream|is truncated/,
      ),
    ]),
    inZip('cut deflate stream', [{ ...ok, packed: cut(deflateRawSync('x'), 0.5) }], /deflate/),
    inZip('encrypted', [{ ...ok, flags: 1 }], /is encrypted/),
    inZip('strongly encrypted', [{ ...ok, flags: 0x41 }], /encrypt/),
    inZip('method 99', [{ ...ok, method: 99 }], /method 99/),
    inZip('count', [ok], /has 65279 entries/, { count: 65_279 }),
    inZip('count too small', [ok, { name: 'b' }], /does not end after its last entry/, {
      count: 1,
    }),
    inZip('second end in the comment', [ok], /./, {
      comment: zipOf([{ name: 'evil', data: 'x' }]),
    }),
    inZip('other name before the data', [{ ...ok, localName: 'no' }], /different headers/),
    inZip('a gap', [ok], /belongs to no entry/, { gap: Buffer.alloc(30) }),
    raw(
      'something before',
      'm.zip',
      Buffer.concat([Buffer.from('#!/bin/sh\n'), whole]),
      /valid zip/,
    ),
    raw('something behind', 'm.zip', Buffer.concat([whole, Buffer.from('junk')]), /valid zip/),
    inTar('checksum', [{ ...ok, checksum: '000000\0 ' }], /wrong checksum/),
    inTar('two names', [longName('a'), pax(['path', 'b']), ok], /two header extensions/),
    inTar('sparse', [{ name: 's', type: 'S', data: 'x' }], /a sparse file/),
    raw('damaged', 'm.tar.gz', damaged, /complete gzip stream|tar file|is truncated/),
    raw('wrong sum', 'm.tar.gz', wrongSum, /complete gzip stream/),
    raw('second archive', 'm.tar.gz', gzipSync(Buffer.concat([tar, tar])), /after its end/),
    raw('second stream', 'm.tar.gz', Buffer.concat([packedTar, packedTar]), /after its end/),
    raw('something behind', 'm.tar.gz', Buffer.concat([packedTar, Buffer.from('junk')]), /gzip/),
  ])
})

const cut = (bytes: Buffer, share: number): Buffer => bytes.subarray(0, bytes.length * share)

row('Z09', 'names that are one file on some file system are refused', async (server) => {
  const pair = (first: string, second: string): ArchivedFile[] =>
    [first, second].map((name) => (name.endsWith('/') ? { name } : { name, data: 'x' }))
  await refuseAll(server, [
    ...inBoth('twice', pair('a', 'a'), /occurs twice/),
    ...inBoth('folder twice', pair('a/', 'a/'), /occurs twice/),
    ...inBoth('case', pair('Model.onnx', 'model.onnx'), /differ only in case or accents/),
    ...inBoth('case of folders', pair('A/x', 'a/y'), /differ only in case or accents/),
    ...inBoth('composed accents', pair('é', 'e\u0301'), /differ only in case or accents/),
    ...inBoth('file, then folder', pair('a', 'a/b'), /both a file and a folder/),
    ...inBoth('folder, then file', pair('a/b', 'a'), /both a file and a folder/),
    inTar('with and without ./', pair('a', './a'), /occurs twice/),
  ])
})

row('Z10', 'manifests that are missing, malformed, huge or point elsewhere', async (server) => {
  const model = { name: 'model.onnx', data: addModel(1) }
  const code = { name: 'x.js', data: 'export const handle = () => []' }
  const manifest = (data: string | Buffer, file: ArchivedFile = code): ArchivedFile[] => [
    file,
    { name: 'MAR-INF/MANIFEST.json', data },
  ]
  const handler = (name: string): ArchivedFile[] =>
    manifest(JSON.stringify({ runtime: 'node', model: { modelName: 'x', handler: name } }))
  const noise = Buffer.from(
    Array.from({ length: size(1, 7) * MIB }, (_, index) => (index * 7919) >>> 3),
  )
  const none = /no file for its handler/
  const attacks = [
    ...inBoth('no manifest', [code], /no .onnx file/),
    ...inBoth('no JSON', manifest('{', model), /Failed to parse MANIFEST\.json/),
    ...inBoth('no object', manifest('[]', model), /MANIFEST\.json is not valid/),
    ...inBoth('nothing', manifest('', model), /Failed to parse MANIFEST\.json/),
    ...inBoth('deep', manifest('['.repeat(100_000), model), /MANIFEST\.json/),
    ...inBoth(
      '__proto__',
      manifest('{"__proto__":{"model":{"handler":"x.js"}}}', model),
      /__proto__/,
    ),
    ...inBoth(
      '__proto__ in the model',
      manifest('{"model":{"modelName":"x","__proto__":{"handler":"x.js"}}}', model),
      /__proto__/,
    ),
    ...inBoth(
      'megabytes',
      manifest(`{"x":"${noise.toString('base64')}"}`, model),
      /MANIFEST\.json is larger than 1 MiB/,
    ),
    ...inBoth('runtime', manifest('{"runtime":"LSP"}', model), /Runtime is not defined or invalid/),
    ...[
      '../../x.js:f',
      '/etc/passwd:f',
      'node:child_process',
      'child_process',
      'x\0.js:f',
      'y.js:f',
    ].flatMap((name) => inBoth(`handler ${name}`, handler(name), none)),
    ...inBoth(
      'handler that is a folder',
      [...handler('d.js'), { name: 'd.js/f', data: 'x' }],
      none,
    ),
  ]
  await refuseAll(server, attacks)
  assert.equal(Object.getOwnPropertyNames(Object.prototype).includes('handler'), false)
})

/** What else archives bring; each file would tell that it was read or run. */
function luggage(canary: string): ArchivedFile[] {
  const tells = `require('node:fs').writeFileSync(${JSON.stringify(canary)}, __filename)`
  const folder = 'node_modules/onnxruntime-node'
  return [
    { name: 'package.json', data: '{"type":"commonjs","main":"index.js","imports":{"#x":"./x"}}' },
    { name: 'index.js', data: tells },
    { name: `${folder}/package.json`, data: '{"main":"index.js"}' },
    { name: `${folder}/index.js`, data: tells },
    { name: 'node_modules/sharp/index.js', data: tells },
    { name: '.npmrc', data: 'registry=http://127.0.0.1:1/' },
    { name: '.noderc', data: `--require ./index.js` },
    { name: 'binding.node', data: 'no library' },
    { name: 'sitecustomize.py', data: `open(${JSON.stringify(canary)}, 'w')` },
  ]
}

test('Z11 packages, settings of npm and native code in an archive are not used', async (t) => {
  const server = await startLaboratory(t, { settings: { allowHandlers: false } })
  const before = heldBy(server)
  const canary = path.join(temporaryFolder(t), 'canary')
  const model = { name: 'model.onnx', data: addModel(1) }
  for (const [fileName, bytes] of bothFormats([model, ...luggage(canary)])) {
    const sent = await send(server, fileName, bytes)
    assert.equal(sent.status, 200, sent.text)
    const answer = await server.predict('attacked', '{"x":[1]}', {
      'content-type': 'application/json',
    })
    assert.deepEqual([answer.status, JSON.parse(answer.text)], [200, { y: [2] }])
    await server.unregister('attacked')
  }
  const withHandler = (handler: string, source: string): ArchivedFile[] => [
    ...luggage(canary),
    {
      name: 'MAR-INF/MANIFEST.json',
      data: JSON.stringify({ runtime: 'node', model: { handler } }),
    },
    { name: 'service.cjs', data: source },
  ]
  const native = `require('./binding.node')\nexports.handle = () => []`
  for (const [fileName, bytes] of bothFormats(withHandler('service.cjs:handle', native)))
    assertError(await send(server, fileName, bytes), 403)
  for (const [fileName, bytes] of bothFormats(withHandler('binding.node:handle', native)))
    assertError(await send(server, fileName, bytes), 400)
  assert.ok(!existsSync(canary), 'nothing of the archives was run')
  await assertUnharmed(server, before)
})

row('Z12', 'sizes and places of 2^63 are refused', async (server) => {
  const mark = 0xffffffff
  const huge = { name: 'z', data: 'x', bytes: mark, packedBytes: mark }
  const binary = Buffer.from([0x80, 0, 0, 0, 0x80, ...Buffer.alloc(7)])
  const outside = /an offset beyond its end/
  await refuseAll(server, [
    inZip('sizes', [{ ...huge, extra: zip64Extra(HUGE, HUGE) }], /invalid size/),
    inZip('sizes of 2^64-1', [{ ...huge, extra: zip64Extra(2n ** 64n - 1n, 1n) }], /invalid size/),
    inZip('place', [{ ...ok, start: mark, extra: zip64Extra(HUGE) }], /invalid size/),
    inZip('place behind the end', [{ ...ok, start: mark, extra: zip64Extra(2n ** 40n) }], outside),
    inZip('too short a field', [{ ...ok, bytes: mark, extra: zip64Extra() }], /zip64/),
    inZip('directory', [ok], outside, { zip64: { directoryStart: HUGE } }),
    inZip('record', [ok], outside, { zip64: { recordStart: HUGE } }),
    inZip('count', [ok], /entries/, { zip64: { count: HUGE } }),
    {
      ...inZip('8 GiB', [{ ...huge, extra: zip64Extra(2n ** 33n, 2n ** 32n) }], /larger than/),
      statuses: [413],
    },
    inTar('binary size', [{ name: 'z', size: binary }], /invalid size/),
    inTar('negative size', [{ name: 'z', size: Buffer.alloc(12, 0xff) }], /invalid size/),
    inTar('size in an extension', [pax(['size', String(HUGE)]), ok], /malformed header extension/),
    { ...inTar('8 TiB', [pax(['size', '9'.repeat(13)]), ok], /larger than/), statuses: [413] },
  ])
})

row('Z13', 'what is no archive is refused, uploaded or from the store', async (server) => {
  const html = Buffer.from('<!doctype html><title>404</title>'.repeat(10))
  const files: [what: string, bytes: Buffer][] = [
    ['HTML', html],
    ['nothing', Buffer.alloc(0)],
    ['one byte', Buffer.from('P')],
    ['two bytes', Buffer.from('PK')],
    ['a model', addModel(1)],
    ['zeros', Buffer.alloc(100_000)],
    ['an empty zip file', zipOf([])],
    ['an empty tar file', gzipSync(tarOf([]))],
    ['the start of gzip', Buffer.from([0x1f, 0x8b])],
    ['HTML in gzip', gzipSync(html)],
    ['gzip in gzip', gzipSync(gzipSync(tarOf([ok])))],
    ['a tar file that is not packed', tarOf([ok])],
  ]
  const names = ['m.zip', 'm.mar', 'm.model', 'm.tar.gz', 'm.tgz']
  await refuseAll(
    server,
    files.flatMap(([what, bytes]) =>
      names.map((fileName) => ({ what, fileName, bytes, reason: /archive|empty/i })),
    ),
  )
  for (const [what, bytes] of files) {
    const file = path.join(server.store, 'm.mar')
    writeFileSync(file, bytes)
    const answer = await server.call('POST', '/models?url=m.mar')
    assertError(answer, 400)
    assert.ok(readFileSync(file).equals(bytes), `${what} is left as it was`)
  }
  rmSync(path.join(server.store, 'm.mar'))
})
