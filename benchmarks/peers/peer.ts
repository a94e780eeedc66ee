/** What another server needs, to be measured. */
import { createServer } from 'node:net'

/**
 * How a request says its numbers: `bytes` is raw float32 both ways, `json` a request of the Open Inference
 * Protocol.
 */
export type Format = 'bytes' | 'json'

/** What a peer is started with. */
export interface Site {
  /** Programs of the Python environment with the peer's packages. */
  readonly bin: string
  /** Empty folder of its own, which is its working directory. Gone when it has stopped. */
  readonly folder: string
  /** The ONNX file. */
  readonly model: string
}

export interface Launch {
  readonly command: string
  readonly args: readonly string[]
  /** Besides what all peers get, see `peer-process.ts`. */
  readonly env?: Readonly<Record<string, string>>
  /** Where it takes requests of each format that it knows. */
  readonly urls: Readonly<Partial<Record<Format, string>>>
}

/** One worker with one thread, logging to a file, otherwise as its makers ship it. */
export interface Peer {
  readonly name: string
  /** For pip. What they need besides comes along. */
  readonly packages: readonly string[]
  readonly needsJava?: boolean
  /** Without what they need besides: the server runs with less than it asks for. */
  readonly noDependencies?: boolean
  /** Writes its files into the folder of the site and tells how to start it. */
  readonly prepare: (site: Site) => Promise<Launch>
}

/** This peer cannot be measured here. The others can. */
export class PeerError extends Error {}

/** All peers compute with it. The archives of MMS and TorchServe cannot bring their own. */
export const RUNTIME = ['onnxruntime==1.23.2', 'numpy==2.4.6']

/** MMS takes no port above this, and the system hands out higher ones for port 0. */
const HIGHEST_PORT = 32_766

/** Ports of the loopback address that are free now. */
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
