import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { readTlsFiles } from '../../../../src/routes/http/access/tls-files.ts'
import { NEEDS_OPENSSL, makeCertificate, openssl } from '../../../helpers/certificates.ts'
import { temporaryFolder } from '../../../helpers/server.ts'

const skip = NEEDS_OPENSSL

test('an error says which file is wrong, and why', { skip }, async (t) => {
  const folder = temporaryFolder(t)
  const write = (name: string, content: string): string => {
    const file = path.join(folder, name)
    writeFileSync(file, content)
    return file
  }
  const { cert, key } = makeCertificate(folder, 'own')
  const other = makeCertificate(folder, 'other')
  const good = { tlsCert: cert, tlsKey: key, tlsClientCa: '' }
  const files = await readTlsFiles({ ...good, tlsClientCa: other.cert })
  assert.deepEqual([files.warnings, files.ca?.length], [[], 1])

  const locked = path.join(folder, 'locked.key')
  openssl('pkey', '-in', key, '-aes256', '-passout', 'pass:x', '-out', locked)
  const damaged = readFileSync(cert, 'utf8').replace(/\n.{20}/, '\nAAAAAAAAAAAAAAAAAAAA')
  const cases: readonly [changed: Partial<typeof good>, reason: RegExp][] = [
    [{ tlsCert: path.join(folder, 'none.pem') }, /^tlsCert cannot be read: ENOENT/],
    [{ tlsKey: folder }, /^tlsKey cannot be read: EISDIR/],
    [{ tlsCert: write('empty.pem', '') }, /^tlsCert has no certificate in PEM form/],
    [{ tlsCert: key }, /^tlsCert has no certificate in PEM form/],
    [{ tlsCert: write('damaged.pem', damaged) }, /^tlsCert has a damaged certificate/],
    [{ tlsKey: cert }, /^tlsKey has no private key in PEM form/],
    [{ tlsKey: other.key }, /^tlsKey is not the key of the certificate in tlsCert/],
    [{ tlsKey: locked }, /^tlsKey is encrypted/],
    [{ tlsClientCa: key }, /^tlsClientCa has no certificate in PEM form/],
    [{ tlsClientCa: write('ca.pem', damaged) }, /^tlsClientCa has a damaged certificate/],
  ]
  const secret = readFileSync(key, 'utf8').split('\n')[1] ?? ''
  for (const [changed, reason] of cases) {
    await assert.rejects(readTlsFiles({ ...good, ...changed }), (error: Error) => {
      assert.match(error.message, reason)
      assert.ok(!error.message.includes(secret))
      return true
    })
  }
})

test('an old certificate is a warning', { skip }, async (t) => {
  const { cert, key } = makeCertificate(temporaryFolder(t), 'own', '-days', '90')
  const other = makeCertificate(temporaryFolder(t), 'other', '-days', '900').cert
  const warningsIn = async (days: number): Promise<readonly string[]> => {
    const settings = { tlsCert: cert, tlsKey: key, tlsClientCa: other }
    return (await readTlsFiles(settings, Date.now() + days * 86_400_000)).warnings
  }
  assert.deepEqual(await warningsIn(0), [])
  assert.deepEqual(await warningsIn(80), ['the TLS certificate expires in 9 days'])
  assert.deepEqual(await warningsIn(100), ['the TLS certificate has expired'])
  assert.deepEqual(await warningsIn(-10), [
    'the TLS certificate is not valid yet',
    'a certificate of tlsClientCa is not valid yet',
  ])
})
