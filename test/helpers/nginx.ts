/** Runs nginx in front of a server, with keep-alive connections between them. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import path from 'node:path'
import type { TestContext } from 'node:test'
import { temporaryFolder, until } from './server.ts'

/** A running nginx. */
export interface Nginx {
  readonly url: string
  /** The error log. */
  errors(): string
}

/** Starts nginx with `origin` as its only upstream. It is killed after the test. */
export async function startNginx(
  t: TestContext,
  origin: string,
  { buffering = 'on' } = {},
): Promise<Nginx> {
  const folder = temporaryFolder(t)
  mkdirSync(path.join(folder, 'logs'))
  const errorLog = path.join(folder, 'logs', 'error.log')
  const port = await freePort()
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  const configuration = `
daemon off; master_process off; pid ${folder}/pid; error_log ${errorLog} error;
events { worker_connections 256; }
http {
  access_log off; client_max_body_size 0;
  ${temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join('\n  ')}
  upstream onnxd { server ${new URL(origin).host}; keepalive 32; }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://onnxd; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_request_buffering ${buffering};
    }
  }
}
`
  writeFileSync(path.join(folder, 'nginx.conf'), configuration)
  const args = ['-p', folder, '-c', path.join(folder, 'nginx.conf')]
  const child = spawn('nginx', args, { stdio: 'ignore' })
  t.after(() => child.kill('SIGKILL'))
  const url = `http://127.0.0.1:${port}`
  await until(async () => {
    assert.equal(child.exitCode, null, 'nginx starts')
    return fetch(`${url}/ping`).then(
      () => true,
      () => false,
    )
  })
  return { url, errors: () => readFileSync(errorLog, 'utf8') }
}

async function freePort(): Promise<number> {
  const listener = createServer().listen(0, '127.0.0.1')
  await until(() => listener.listening)
  const address = listener.address()
  await new Promise((resolve) => listener.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : assert.fail('no port')
}
