/** Certificates for tests, made with openssl, and requests over TLS. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { renameSync, writeFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import type { RequestOptions } from 'node:https'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { TLSSocket } from 'node:tls'
import { needs } from './needs.ts'

/** For the option `skip` of a test. */
export const NEEDS_OPENSSL = needs('openssl', 'version')

/** A certificate and its key. */
export interface Certificate {
  readonly cert: string
  readonly key: string
}

/**
 * Makes a certificate for localhost that signs itself, as two files of a folder.
 * @param args Further arguments of `openssl req`.
 */
export function makeCertificate(folder: string, name: string, ...args: string[]): Certificate {
  const files = { cert: path.join(folder, `${name}.pem`), key: path.join(folder, `${name}.key`) }
  const kind = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90'
  const names = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
  openssl(...kind.split(' '), '-keyout', files.key, '-out', files.cert, ...names, ...args)
  return files
}

export function openssl(...args: string[]): void {
  execFileSync('openssl', args, { stdio: 'ignore' })
}

/** Replaces a file at once, as a program that rotates certificates should. */
export function replaceFile(file: string, content: string | Buffer): void {
  writeFileSync(`${file}.new`, content)
  renameSync(`${file}.new`, file)
}

/** A response. */
export interface SecureAnswer {
  readonly status: number
  readonly text: string
  /** The name in the server's certificate. */
  readonly server: string
}

/** Sends a request over TLS. */
export async function askSecurely(
  url: string,
  { body, ...options }: RequestOptions & { readonly body?: string },
): Promise<SecureAnswer> {
  const sent = request(url, { agent: false, ...options })
  sent.end(body)
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  const { socket } = response
  assert.ok(socket instanceof TLSSocket)
  const server = String(socket.getPeerCertificate().subject.CN)
  return { status: response.statusCode ?? 0, text: await text(response), server }
}
