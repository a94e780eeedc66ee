/**
 * Clients of other projects get the response to a request that is rejected before its body is read.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { needs } from '../helpers/needs.ts'
import { startNginx } from '../helpers/nginx.ts'
import {
  BODY,
  EXPECTED,
  KINDS,
  ROUNDS,
  SETTINGS,
  everyRound,
  iris,
} from '../helpers/rejected-bodies.ts'
import { temporaryFolder } from '../helpers/server.ts'
import { sharedServer } from '../helpers/shared-server.ts'

const run = promisify(execFile)

const PYTHON = `
import http.client, sys
port, kinds = int(sys.argv[1]), sys.argv[2:]
for kind in kinds:
    content, route = kind.split(' ')
    client = http.client.HTTPConnection('127.0.0.1', port, timeout=20)
    client.request('POST', route, b'0' * ${BODY.length}, {'Content-Type': content})
    print(client.getresponse().status)
`

test(
  'B4: http.client of Python gets the response',
  { skip: needs('python3', '-c', '') },
  async () => {
    const server = await sharedServer([iris()], SETTINGS)
    const kinds = KINDS.map(([type, route]) => `${type} ${route}`)
    await everyRound(server, async (url) => {
      const { stdout } = await run('python3', ['-c', PYTHON, new URL(url).port, ...kinds])
      return stdout.trim().split('\n')
    })
  },
)

const JAVA = `
import java.net.*; import java.net.http.*;
public class Send { public static void main(String[] args) throws Exception {
  for (int at = 1; at < args.length; at += 2) {
    URL url = new URL(args[0] + args[at + 1]);
    byte[] body = new byte[${BODY.length}];
    HttpURLConnection old = (HttpURLConnection) url.openConnection();
    old.setRequestMethod("POST"); old.setDoOutput(true);
    old.setRequestProperty("Content-Type", args[at]); old.getOutputStream().write(body);
    System.out.println(old.getResponseCode());
    System.out.println(HttpClient.newHttpClient().send(HttpRequest.newBuilder(url.toURI())
      .version(HttpClient.Version.HTTP_1_1).header("Content-Type", args[at])
      .POST(HttpRequest.BodyPublishers.ofByteArray(body)).build(),
      HttpResponse.BodyHandlers.ofString()).statusCode());
  } } }
`

test(
  'B4: the clients of Java get the response',
  { skip: needs('javac', '-version') },
  async (t) => {
    const server = await sharedServer([iris()], SETTINGS)
    const folder = temporaryFolder(t)
    writeFileSync(path.join(folder, 'Send.java'), JAVA)
    await run('javac', ['-nowarn', '-d', folder, path.join(folder, 'Send.java')])
    const kinds = KINDS.flatMap(([type, route]) => [type, route])
    const { stdout } = await run('java', ['-cp', folder, 'Send', server.inferenceUrl, ...kinds])
    assert.deepEqual(
      stdout.trim().split('\n'),
      EXPECTED.flatMap((status) => [status, status]),
    )
  },
)

test('B4: clients behind nginx get the response', { skip: needs('nginx', '-v') }, async (t) => {
  const server = await sharedServer([iris()], SETTINGS)
  for (const buffering of ['on', 'off']) {
    const { url } = await startNginx(t, server.inferenceUrl, { buffering })
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const [type, route, status] of KINDS) {
        const init = { method: 'POST', body: BODY, headers: { 'content-type': type } }
        const answer = await fetch(url + route, init)
        await answer.arrayBuffer()
        assert.equal(String(answer.status), status, `${route} ${type} ${buffering}`)
      }
    }
  }
})
