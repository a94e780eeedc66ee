/** The interface of a peer: another server that is measured. */
import { createServer } from 'node:net'

/**
 * Format of a body: `bytes` is raw float32 in request and response, `json` is a request of the Open
 * Inference Protocol.
 */
export type Format = 'bytes' | 'json'

/** Input of a peer's start. */
export interface Site {
  /** Folder of the programs in the Python environment with the peer's packages. */
  readonly bin: string
  /** Empty folder, its working directory. It is removed after the peer has stopped. */
  readonly folder: string
  /** The ONNX file. */
  readonly model: string
}

export interface Launch {
  readonly command: string
  readonly args: readonly string[]
  /** Added to the variables that all peers get, see `peer-process.ts`. */
  readonly env?: Readonly<Record<string, string>>
  /** URL of the route for each format that it supports. */
  readonly urls: Readonly<Partial<Record<Format, string>>>
}

/**
 * A peer runs one worker with one thread and logs to a file. All other settings have the defaults
 * of its makers.
 */
export interface Peer {
  readonly name: string
  /** Packages for pip, which also installs their dependencies. */
  readonly packages: readonly string[]
  readonly needsJava?: boolean
  /**
   * Installs the packages without their dependencies, because the server does not need all of them.
   */
  readonly noDependencies?: boolean
  /** Writes its files into the folder of the site and returns how to start it. */
  readonly prepare: (site: Site) => Promise<Launch>
}

/** This peer cannot be measured here. Other peers are still measured. */
export class PeerError extends Error {}

/** All peers use this runtime. The archives of MMS and TorchServe cannot contain their own. */
export const RUNTIME = ['onnxruntime==1.23.2', 'numpy==2.4.6']

/** MMS accepts no higher port, and for port 0 the system chooses higher ones. */
const HIGHEST_PORT = 32_766

/** Free ports on loopback. */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>()
  while (ports.size < count) {
    const port = 10_000 + Math.floor(Math.random() * (HIGHEST_PORT - 10_000))
    if (await isFree(port)) ports.add(port)
  }
  return [...ports]
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  return new Promise((resolve) => {
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
