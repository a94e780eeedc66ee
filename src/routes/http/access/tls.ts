import type { Server, ServerOptions } from 'node:https'
import type { TlsFiles } from './tls-files.ts'

/** A server whose certificate can be replaced. */
type SecureServer = Pick<Server, 'setSecureContext'>

/** TLS of all listeners. A new certificate is used for new connections; open ones stay. */
export class ServerTls {
  #files: TlsFiles
  readonly #servers = new Set<SecureServer>()

  constructor(files: TlsFiles) {
    this.#files = files
  }

  /** Options of a new server. If there is a CA for clients, they need a certificate of it. */
  get options(): ServerOptions {
    return { ...this.#context, requestCert: this.#files.ca !== undefined, rejectUnauthorized: true }
  }

  /** A server that takes new certificates. */
  add(server: SecureServer): void {
    this.#servers.add(server)
  }

  replace(files: TlsFiles): void {
    this.#files = files
    for (const server of this.#servers) server.setSecureContext(this.#context)
  }

  get #context(): Pick<ServerOptions, 'cert' | 'key' | 'ca' | 'minVersion'> {
    const { cert, key, ca } = this.#files
    return { cert, key, ca, minVersion: 'TLSv1.2' }
  }
}
