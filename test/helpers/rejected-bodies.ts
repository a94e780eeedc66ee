/** Requests that are rejected before their body is read, for tests with many kinds of clients. */
import assert from 'node:assert/strict'
import path from 'node:path'
import type { TestServer } from './server.ts'

export const MIB = 1024 * 1024
export const TOKEN = 'secret'
/** Larger than every limit below, and than the buffers of the system. */
export const BODY = Buffer.alloc(12 * MIB, '0')
export const OPEN_SETTINGS = { maxBodyBytes: MIB, maxJsonBytes: MIB, maxModelBytes: MIB }
export const SETTINGS = { ...OPEN_SETTINGS, managementToken: TOKEN }

/** A kind of request, with the status of its response. */
export const KINDS = [
  ['application/octet-stream', '/predictions/iris', '413'],
  ['json', '/predictions/iris', '415'],
  ['application/octet-stream', '/predictions/none', '404'],
  ['application/octet-stream', '/v2/models/none/infer', '404'],
] as const
export const EXPECTED = KINDS.map(([, , status]) => status)
export const ROUNDS = 2

/** The model that the server of these tests is started with. */
export const iris = (): string => `iris=${path.resolve('examples/iris')}`

/** Fails unless a client gets the status of each kind, in each round. */
export async function everyRound(
  server: TestServer,
  statuses: (url: string) => Promise<string[]>,
): Promise<void> {
  for (let round = 0; round < ROUNDS; round += 1)
    assert.deepEqual(await statuses(server.inferenceUrl), EXPECTED)
}
