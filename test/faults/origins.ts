/** Servers that models are downloaded from, hostile ones among them, and a resolver that lies. */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { RequestListener } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo, Server, Socket } from 'node:net'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { temporaryFolder } from '../helpers/server.ts'
import type { Cleanup } from '../helpers/server.ts'

/** A server on loopback. */
export interface Origin {
  readonly port: number
  /** `http://127.0.0.1:<port>`. */
  readonly url: string
  /** Connections so far. */
  connections(): number
  /** Connections that are open now. */
  open(): number
}

/** Lets a server listen on a free port of 127.0.0.1. It is closed after the test. */
export async function listen(t: Cleanup, server: Server): Promise<Origin> {
  const sockets = new Set<Socket>()
  let count = 0
  server.on('connection', (socket: Socket) => {
    count += 1
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    connections: () => count,
    open: () => sockets.size,
  }
}

/** A plain HTTP server. */
export function httpOrigin(t: Cleanup, answer: RequestListener): Promise<Origin> {
  return listen(t, createServer(answer))
}

/**
 * An HTTPS server, and the file of its certificate for `NODE_EXTRA_CA_CERTS`; `undefined` where
 * there is no openssl.
 */
export async function httpsOrigin(
  t: Cleanup,
  host: string,
  answer: RequestListener,
): Promise<(Origin & { readonly certificate: string }) | undefined> {
  const folder = temporaryFolder(t)
  const [key, certificate] = [path.join(folder, 'key.pem'), path.join(folder, 'certificate.pem')]
  const args =
    `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=${host} ` +
    `-addext subjectAltName=DNS:${host} -keyout ${key} -out ${certificate}`
  try {
    execFileSync('openssl', args.split(' '), { stdio: 'ignore' })
  } catch {
    return undefined
  }
  const keys = { key: readFileSync(key), cert: readFileSync(certificate) }
  return { ...(await listen(t, createHttpsServer(keys, answer))), certificate }
}

/** Responses of the resolver: each host's lists of addresses, the last one again and again. */
export type Resolutions = Readonly<Record<string, readonly (readonly string[])[]>>

/** Replaces the resolver of a server. It notes each host that it is asked for. */
export function lyingResolver(
  t: Cleanup,
  resolutions: Resolutions,
): { environment: NodeJS.ProcessEnv; resolved(): string[] } {
  const folder = temporaryFolder(t)
  const notes = path.join(folder, 'notes')
  const program = path.join(folder, 'resolver.mjs')
  writeFileSync(notes, '')
  writeFileSync(
    program,
    `import { promises as dns } from 'node:dns'
    import { appendFileSync } from 'node:fs'
    const resolutions = ${JSON.stringify(resolutions)}
    dns.lookup = async (host) => {
      appendFileSync(${JSON.stringify(notes)}, host + '\\n')
      const lists = resolutions[host] ?? []
      const addresses = (lists.length > 1 ? lists.shift() : lists[0]) ?? []
      return addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
    }`,
  )
  return {
    environment: { NODE_OPTIONS: `--import=${pathToFileURL(program).href}` },
    resolved: () => readFileSync(notes, 'utf8').split('\n').filter(Boolean),
  }
}
