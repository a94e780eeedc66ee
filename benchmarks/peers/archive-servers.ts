/** MMS and TorchServe: a Java front-end, a Python worker, and a handler in an archive. */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { RUNTIME, freePorts } from './peer.ts'
import type { Launch, Peer, Site } from './peer.ts'

const HANDLER = path.resolve('benchmarks', 'peers', 'archive_handler.py')

export const mms: Peer = {
  name: 'MMS',
  packages: ['multi-model-server==1.1.11', ...RUNTIME],
  needsJava: true,
  prepare: async ({ bin, folder }) => {
    const [inference, management] = await freePorts(2)
    const settings = {
      inference_address: `http://127.0.0.1:${inference}`,
      management_address: `http://127.0.0.1:${management}`,
      default_workers_per_model: '1',
    }
    return {
      command: path.join(bin, 'multi-model-server'),
      args: ['--mms-config', ...withArchive(folder, settings)],
      urls: { bytes: `${settings.inference_address}/predictions/peer` },
    }
  },
}

/**
 * TorchServe's worker imports torch only to detect tensors in the output of a handler. This handler
 * returns none, so a stub with the class `Tensor` is enough. It saves an installation of a
 * gigabyte.
 */
export const torchServe: Peer = {
  name: 'TorchServe',
  packages: [
    'torchserve==0.12.0',
    'PyYAML==6.0.3',
    'flatbuffers==25.12.19',
    'packaging==26.3',
    'pillow==13.0.0',
    'protobuf==6.33.6',
    'psutil==7.2.2',
    ...RUNTIME,
  ],
  noDependencies: true,
  needsJava: true,
  prepare: async ({ bin, folder }) => {
    const [inference, management, metrics, grpc, grpcManagement] = await freePorts(5)
    const settings = {
      inference_address: `http://127.0.0.1:${inference}`,
      management_address: `http://127.0.0.1:${management}`,
      metrics_address: `http://127.0.0.1:${metrics}`,
      grpc_inference_port: String(grpc),
      grpc_management_port: String(grpcManagement),
      default_workers_per_model: '1',
    }
    const torch = path.join(folder, 'python', 'torch')
    mkdirSync(torch, { recursive: true })
    writeFileSync(path.join(torch, '__init__.py'), 'class Tensor:\n    pass\n')
    return {
      command: path.join(bin, 'torchserve'),
      args: [
        '--no-config-snapshots',
        '--disable-token-auth',
        '--ts-config',
        ...withArchive(folder, settings),
      ],
      env: { PYTHONPATH: [path.dirname(torch), path.dirname(HANDLER)].join(path.delimiter) },
      urls: { bytes: `${settings.inference_address}/predictions/peer` },
    }
  },
}

/** Writes the settings and an unpacked archive. Returns the last arguments of the command. */
function withArchive(
  folder: Site['folder'],
  settings: Readonly<Record<string, string>>,
): Launch['args'] {
  const archive = path.join(folder, 'store', 'peer')
  mkdirSync(path.join(archive, 'MAR-INF'), { recursive: true })
  copyFileSync(HANDLER, path.join(archive, path.basename(HANDLER)))
  const handler = `${path.basename(HANDLER, '.py')}:handle`
  const manifest = {
    specificationVersion: '1.0',
    implementationVersion: '1.0',
    modelServerVersion: '1.0',
    createdOn: '01/01/2026 00:00:00',
    archiverVersion: '0.12.0',
    runtime: 'python',
    model: { modelName: 'peer', modelVersion: '1.0', handler },
  }
  writeFileSync(path.join(archive, 'MAR-INF', 'MANIFEST.json'), JSON.stringify(manifest))
  const file = path.join(folder, 'config.properties')
  const lines = Object.entries(settings).map(([key, value]) => `${key}=${value}\n`)
  writeFileSync(file, lines.join(''))
  const store = path.dirname(archive)
  return [file, '--foreground', '--start', '--model-store', store, '--models', 'peer=peer']
}
