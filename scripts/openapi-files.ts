/** The OpenAPI documents of both addresses, as a server without any model sends them. */
import { pino } from 'pino'
import { stringify } from 'yaml'
import { completeConfig } from '../src/config/config.ts'
import { startServer } from '../src/server.ts'

/** Name and text of each file in `openapi/`. */
export async function openApiFiles(): Promise<[file: string, text: string][]> {
  const { host, port, managementHost, managementPort } = completeConfig({})
  const server = await startServer({
    config: completeConfig({ port: 0, managementPort: 0 }),
    models: [],
    environment: process.env,
    log: pino({ level: 'silent' }),
  })
  try {
    return [
      ...(await filesOf('inference', server.inferenceUrl, `http://${host}:${port}`)),
      ...(await filesOf(
        'management',
        server.managementUrl,
        `http://${managementHost}:${managementPort}`,
      )),
    ]
  } finally {
    await server.close()
  }
}

/** A file lies nowhere that a relative address could begin at, so it names the default one. */
async function filesOf(name: string, url: string, serverUrl: string): Promise<[string, string][]> {
  const answer = await fetch(`${url}/openapi.json`)
  const sent: unknown = await answer.json()
  if (!answer.ok || typeof sent !== 'object') throw new Error(`${url} sent ${answer.status}`)
  const document = { ...sent, servers: [{ url: serverUrl }] }
  return [
    [`openapi/${name}.json`, `${JSON.stringify(document, null, 2)}\n`],
    [`openapi/${name}.yaml`, stringify(document, { aliasDuplicateObjects: false, lineWidth: 0 })],
  ]
}
