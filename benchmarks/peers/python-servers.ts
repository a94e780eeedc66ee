/** Servers in Python: MLServer, LitServe, BentoML, Ray Serve, and an application with FastAPI. */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { RUNTIME, freePorts } from './peer.ts'
import type { Peer } from './peer.ts'

/** Its REST interface accepts JSON only; raw bytes need gRPC. */
export const mlServer: Peer = {
  name: 'MLServer',
  // Its worker processes do not start with a newer uvloop.
  packages: ['mlserver==1.7.1', 'uvloop==0.21.0', ...RUNTIME],
  prepare: async ({ bin, folder }) => {
    const [http, grpc, metrics] = await freePorts(3)
    const settings = {
      host: '127.0.0.1',
      http_port: http,
      grpc_port: grpc,
      metrics_port: metrics,
      parallel_workers: 1,
      // By default it logs a line of details for each request.
      debug: false,
    }
    const model = { name: 'peer', implementation: 'mlserver_runtime.OnnxRuntime' }
    writeFileSync(path.join(folder, 'settings.json'), JSON.stringify(settings))
    writeFileSync(path.join(folder, 'model-settings.json'), JSON.stringify(model))
    return {
      command: path.join(bin, 'mlserver'),
      args: ['start', folder],
      urls: { json: `http://127.0.0.1:${http}/v2/models/peer/infer` },
    }
  },
}

export const litServe: Peer = {
  name: 'LitServe',
  packages: ['litserve==0.2.19', ...RUNTIME],
  prepare: async ({ bin }) => {
    const [port] = await freePorts(1)
    return {
      command: path.join(bin, 'python'),
      args: ['-m', 'litserve_app', String(port)],
      urls: { json: `http://127.0.0.1:${port}/predict` },
    }
  },
}

/** JSON only: its API describes bytes as a file of a form. */
export const bentoMl: Peer = {
  name: 'BentoML',
  packages: ['bentoml==1.4.40', ...RUNTIME],
  prepare: async ({ bin, folder }) => {
    const [port] = await freePorts(1)
    return {
      command: path.join(bin, 'bentoml'),
      args: ['serve', 'bentoml_app:Peer', '--host', '127.0.0.1', '--port', String(port)],
      env: { BENTOML_HOME: folder, BENTOML_DO_NOT_TRACK: 'True' },
      urls: { json: `http://127.0.0.1:${port}/v2` },
    }
  },
}

export const rayServe: Peer = {
  name: 'Ray Serve',
  packages: ['ray[serve]==2.60.0', ...RUNTIME],
  prepare: async ({ bin, folder }) => {
    const [port] = await freePorts(1)
    return {
      command: path.join(bin, 'python'),
      args: ['-m', 'ray_app', String(port)],
      // It keeps a token in the home folder.
      env: { RAY_USAGE_STATS_ENABLED: '0', HOME: folder },
      urls: {
        bytes: `http://127.0.0.1:${port}/bytes`,
        json: `http://127.0.0.1:${port}/v2`,
      },
    }
  },
}

export const fastApi: Peer = {
  name: 'FastAPI',
  packages: ['fastapi==0.165.0', 'uvicorn[standard]==0.54.0', ...RUNTIME],
  prepare: async ({ bin }) => {
    const [port] = await freePorts(1)
    return {
      command: path.join(bin, 'uvicorn'),
      args: ['fastapi_app:app', '--host', '127.0.0.1', '--port', String(port)],
      urls: {
        bytes: `http://127.0.0.1:${port}/bytes`,
        json: `http://127.0.0.1:${port}/v2`,
      },
    }
  },
}
