/** Blocks F and I: other users of the machine, and what a worker may see and do. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { startCommand } from '../helpers/command.ts'
import { fakeMms } from '../helpers/fake-mms.ts'
import { handlerModel } from '../helpers/handler-model.ts'
import { httpProcesses, workersFor } from '../helpers/http-processes.ts'
import { workerPids } from '../helpers/observe.ts'
import { asUser, needsOtherUser } from '../helpers/other-user.ts'
import { pythonArchive } from '../helpers/python-model.ts'
import { FLOWER, iris, processesNaming } from '../helpers/server-process.ts'
import { listing, runtimeFolder, serve, start, temporaryFolder, until } from '../helpers/server.ts'
import type { TestServer } from '../helpers/server.ts'
import { zipOf } from '../helpers/zip.ts'
import { quantile } from './figures.ts'
import { answerOf, assertError, size } from './harness.ts'

const OTHER_USER = 12_345
const has = (program: string, ...args: readonly string[]): boolean =>
  spawnSync(program, args).status === 0
const needsSetpriv = has('setpriv', '--version') ? false : 'needs setpriv (util-linux)'
const needsRoot = process.geteuid?.() === 0 ? needsSetpriv : 'needs to be root'
const needsNetworks =
  has('unshare', '--net', 'true') || has('unshare', '--user', '--map-current-user', '--net', 'true')
    ? needsSetpriv
    : 'needs unshare(1) and network namespaces'

const ask = async (server: TestServer, body: string): Promise<string> => {
  const headers = { 'content-type': 'text/plain' }
  return (await server.fetch('/predictions/tool', { method: 'POST', headers, body })).text()
}

const classify = async (server: TestServer, model: string): Promise<number> =>
  (await server.fetch(`/predictions/${model}`, FLOWER)).status

/** Kind and mode of a file, for example `socket 600`. */
function lookOf(file: string): string {
  const found = lstatSync(file)
  const kinds = { directory: found.isDirectory(), socket: found.isSocket(), pipe: found.isFIFO() }
  const [kind = 'file'] = Object.entries(kinds).find(([, isIt]) => isIt) ?? []
  assert.equal(found.uid, process.geteuid?.(), file)
  return `${kind} ${(found.mode & 0o777).toString(8)}`
}

test('F01 what the server makes for itself is for its user alone, whatever the umask is', async (t) => {
  const folder = temporaryFolder(t)
  const stateDir = path.join(folder, 'state')
  const python = fakeMms(folder)
  const archive = pythonArchive(folder, { flavor: 'mms', name: 'p' })
  const args = [
    '--allow-handlers',
    '--python',
    python,
    '--state-dir',
    stateDir,
    `m=${iris}`,
    archive,
  ]
  const flags = ['--port', '0', '--management-port', '0', ...args]
  const command = ['sh', '-c', 'umask 0; exec "$@"', 'sh', process.execPath, 'dist/cli.js'] as const
  const server = await start(t, flags, { command })
  const form = new FormData()
  form.set('model_name', 'sent')
  form.set('model', new File([readFileSync(path.join(iris, 'model.onnx'))], 'x.onnx'))
  assert.equal((await server.manage('/models', { method: 'POST', body: form })).status, 200)
  const runtime = runtimeFolder(server)
  assert.match(path.basename(runtime), /^onnxd-\d+-\w{6}$/)
  assert.equal(lookOf(runtime), 'directory 700')
  const pipes: string[] = []
  for (const name of listing(runtime)) {
    const look = lookOf(path.join(runtime, name))
    if (look.startsWith('pipe')) pipes.push(look)
    // In a folder of mode 700 a socket is out of reach, whatever its own mode is.
    else if (/^w\d+$|^models$/.test(name)) assert.equal(look, 'directory 700', name)
  }
  assert.deepEqual(pipes, ['pipe 600', 'pipe 600'])
  assert.equal(lookOf(stateDir), 'directory 700')
  for (const name of listing(stateDir)) {
    const look = lookOf(path.join(stateDir, name))
    if (!look.startsWith('socket')) assert.match(look, /^(?:directory 700|file 600)$/, name)
  }
})

test(
  'F02 names in the temporary folder that another user took before are not used',
  { skip: needsRoot },
  async (t) => {
    const temporary = path.join(temporaryFolder(t), 't')
    mkdirSync(temporary)
    chmodSync(temporary, 0o1777)
    const victim = path.join(path.dirname(temporary), 'victim')
    const elsewhere = temporaryFolder(t)
    writeFileSync(victim, 'untouched')
    // Every process id that the server may get, as a folder of another user's, a link and a file.
    const first = spawnSync('sh', ['-c', 'echo $$'], { encoding: 'utf8' }).stdout
    for (let pid = Number(first); pid < Number(first) + 200; pid += 1) {
      const folder = path.join(temporary, `onnxd-${pid}-abcdef`)
      mkdirSync(folder)
      symlinkSync(victim, path.join(folder, 'server.sock'))
      chownSync(folder, OTHER_USER, OTHER_USER)
      symlinkSync(elsewhere, path.join(temporary, `onnxd-${pid}-ghijkl`))
      writeFileSync(path.join(temporary, `onnxd-${pid}-mnopqr`), '')
    }
    const before = listing(temporary)
    const server = startCommand(t, [`m=${iris}`], { temporary })
    const { inference } = await server.ready()
    assert.equal((await fetch(`${inference}/predictions/m`, FLOWER)).status, 200)
    const own = readdirSync(temporary).filter((name) => !before.includes(name))
    assert.equal(own.length, httpProcesses)
    assert.ok(own.some((name) => name.startsWith(`onnxd-${server.pid}-`)))
    for (const name of own) assert.equal(lookOf(path.join(temporary, name)), 'directory 700')
    assert.equal((await server.end('SIGTERM')).code, 0)
    assert.deepEqual(listing(temporary), before)
    assert.equal(readFileSync(victim, 'utf8'), 'untouched')
  },
)

test('F03 a worker that puts something else in the place of its FIFOs is refused and killed', async (t) => {
  const folder = temporaryFolder(t)
  const victim = path.join(folder, 'victim')
  writeFileSync(victim, 'a secret line\n')
  const replacements = {
    link: `fs.symlinkSync(${JSON.stringify(victim)}, NAME)`,
    folder: 'fs.mkdirSync(NAME)',
    file: "fs.writeFileSync(NAME, '')",
    'link to a FIFO':
      "execFileSync('mkfifo', [NAME + '.real']); fs.symlinkSync(NAME + '.real', NAME)",
    socket: 'net.createServer().listen(NAME)',
    nothing: '',
  }
  for (const [name, code] of Object.entries(replacements).slice(0, size(2, 6))) {
    const own = path.join(folder, name.replaceAll(' ', '-'))
    mkdirSync(own)
    const worker = fakeMms(own, { makeFifo: code, useFifo: '' })
    const archive = pythonArchive(own, { flavor: 'mms', name: 'p' })
    const settings = { python: worker, allowHandlers: true, allowLocalPaths: true }
    const server = await serve(t, [`m=${iris}`], settings)
    const runtime = runtimeFolder(server)
    const before = listing(runtime)
    const url = `/models?url=${encodeURIComponent(archive)}&initial_workers=1`
    const answer = await answerOf(await server.manage(url, { method: 'POST' }))
    assertError(answer, 500)
    await until(() => listing(runtime).join() === before.join())
    assert.equal(processesNaming(path.join(runtime, 'w2')).length, 0, name)
    assert.equal(await classify(server, 'm'), 200)
    assert.equal(readFileSync(victim, 'utf8'), 'a secret line\n')
    assert.ok(
      server.logLines.every(({ line }) => line !== 'a secret line'),
      name,
    )
    await server.close()
  }
})

test(
  'F04 another user cannot connect to the sockets, list the folders or read the FIFOs',
  { skip: needsOtherUser },
  async (t) => {
    const folder = temporaryFolder(t)
    const stateDir = path.join(folder, 'state')
    chmodSync(folder, 0o755)
    const archive = pythonArchive(folder, { flavor: 'mms', name: 'p' })
    const settings = { python: fakeMms(folder), allowHandlers: true, stateDir }
    const server = await serve(t, [`m=${iris}`, archive], settings)
    const runtime = runtimeFolder(server)
    chmodSync(path.dirname(runtime), 0o755)
    const sockets = [runtime, stateDir]
      .flatMap((one) => listing(one).map((name) => path.join(one, name)))
      .filter((file) => lstatSync(file).isSocket())
    assert.ok(sockets.length >= 3, sockets.join(' '))
    const script = `
    const { connect } = require('node:net')
    const fs = require('node:fs')
    const [runtime, ...sockets] = process.argv.slice(1)
    const tried = sockets.map((file) => new Promise((resolve) => {
      connect(file).on('connect', () => resolve('connected')).on('error', ({ code }) => resolve(code))
    }))
    const code = (act) => { try { act(); return 'done' } catch (error) { return error.code } }
    tried.push(code(() => fs.readdirSync(runtime)))
    tried.push(code(() => fs.openSync(runtime + '/w2/w.sock-stdout', 'r+')))
    tried.push(code(() => fs.writeFileSync(runtime + '/x', '')))
    Promise.all(tried).then((all) => { console.log(JSON.stringify(all)); process.exit() })`
    const [setpriv, ...user] = asUser(OTHER_USER)
    const args = [...user, process.execPath, '-e', script, runtime, ...sockets]
    const { stdout, stderr } = spawnSync(setpriv, args, { encoding: 'utf8', cwd: '/' })
    const codes = JSON.parse(stdout || JSON.stringify(stderr)) as string[]
    assert.deepEqual([...new Set(codes)], ['EACCES'])
  },
)

test('F05 workers that never write to their FIFOs hold up no file operation of the server', async (t) => {
  const folder = temporaryFolder(t)
  const archive = pythonArchive(folder, { flavor: 'mms', name: 'p' })
  const stateDir = path.join(folder, 'state')
  const python = fakeMms(folder, { useFifo: "fs.openSync(FIFO, 'w')" })
  // Says how long a look at a file takes inside the server.
  const probe = path.join(folder, 'probe.cjs')
  writeFileSync(
    probe,
    `const { stat } = require('node:fs')
     setInterval(() => {
       const startedAt = process.hrtime.bigint()
       stat('/', () => console.log('stat ' + Number(process.hrtime.bigint() - startedAt) / 1e6))
     }, 20).unref()`,
  )
  const server = startCommand(
    t,
    [
      '--allow-handlers',
      '--allow-local-paths',
      '--state-dir',
      stateDir,
      '--workers',
      '5',
      '--python',
      python,
      archive,
    ],
    { environment: { NODE_OPTIONS: `--require ${probe}` } },
  )
  const { inference } = await server.ready()
  const before = server.output().length
  for (let round = 0; round < 5; round += 1)
    assert.equal(
      (await fetch(`${inference}/predictions/p`, { method: 'POST', body: 'x' })).status,
      200,
    )
  const pipes = listing(server.temporary).filter((name) => /w\.sock-std(?:out|err)$/.test(name))
  assert.equal(pipes.length, 10)
  const times = await until(() => {
    const lines =
      server
        .output()
        .slice(before)
        .match(/^stat [\d.]+$/gm) ?? []
    return lines.length >= size(30, 200) && lines.map((line) => Number(line.slice(5)))
  })
  const median = quantile(times, 0.5)
  t.diagnostic(
    `fs.stat with 10 silent FIFOs: median ${median.toFixed(2)} ms, p99 ${quantile(times, 0.99).toFixed(2)} ms`,
  )
  // Other programs hardly change the median. A thread that waits for a FIFO would delay each call.
  assert.ok(median < 10, `${median} ms`)
  assert.equal((await server.end('SIGTERM')).code, 0)
})

test('I01 workers see only harmless parts of the environment', async (t) => {
  const secrets = {
    ONNXD_TEST_SECRET: 'secret',
    ONNXD_MANAGEMENT_TOKEN: 'token-of-the-server',
    AWS_SECRET_ACCESS_KEY: 'secret',
    NODE_OPTIONS: '--no-warnings',
    LD_PRELOAD: '',
    HTTP_PROXY: 'http://user:secret@proxy',
    TS_MODEL_STORE: '/secret',
    CUDA_VISIBLE_DEVICES: '0',
    WANTED: 'yes',
  }
  const settings = { allowHandlers: true, workerEnvironment: ['WANTED'] }
  const server = await serve(t, [handlerModel(t, 'tool')], settings, { environment: secrets })
  const environment = JSON.parse(await ask(server, 'environment:')) as Record<string, string>
  const allowed =
    /^(?:PATH|HOME|USER|LOGNAME|LANG|LANGUAGE|TZ|TMPDIR|TEMP|TMP|LD_LIBRARY_PATH|NODE_V8_COVERAGE|(?:LC|CUDA|NVIDIA|ORT|OMP|KMP|MKL)_\w+|ONNXD_(?:BODY_FILE|PARENT_PID|WORKER_ONCE|WORKER_OPTIONS_FILE)|MALLOC_(?:MMAP|TRIM)_THRESHOLD_|MXNET_USE_OPERATOR_TUNING|WANTED|PWD|SHLVL|OLDPWD|_)$/
  assert.deepEqual(
    Object.keys(environment).filter((name) => !allowed.test(name)),
    [],
  )
  assert.doesNotMatch(JSON.stringify(environment), /secret|token-of-the-server/)
  assert.equal(environment.WANTED, 'yes')
  assert.equal(environment.ORT_DISABLE_TELEMETRY, '1')
  assert.notEqual(environment.OMP_NUM_THREADS, undefined)
})

test(
  'I02 I03 workers of another user read their models and nothing of the server',
  { skip: needsOtherUser },
  async (t) => {
    const state = temporaryFolder(t)
    const tool = handlerModel(t, 'tool')
    chmodSync(path.dirname(tool), 0o755)
    const temporary = temporaryFolder(t)
    chmodSync(temporary, 0o755)
    const flags = [
      '--port',
      '0',
      '--management-port',
      '0',
      '--allow-handlers',
      '--state-dir',
      state,
    ]
    const args = [...flags, '--worker-user', String(OTHER_USER), tool, iris]
    let server = await start(t, args, { temporary })
    const upload = async (name: string, file: Buffer, fileName: string): Promise<void> => {
      const form = new FormData()
      form.set('model_name', name)
      form.set('model', new File([file], fileName))
      const { status } = await server.manage('/models', { method: 'POST', body: form })
      assert.equal(status, 200)
    }
    const network = readFileSync(path.join(iris, 'model.onnx'))
    await upload('plain', network, 'x.onnx')
    await upload('packed', zipOf([{ name: 'model.onnx', data: network }]), 'x.mar')
    for (const round of ['first', 'restarted']) {
      for (const model of ['iris', 'plain', 'packed']) {
        assert.equal(await classify(server, model), 200, `${model} ${round}`)
      }
      const [worker = 0] = await workerPids(server, 'tool')
      const status = statusOf(worker)
      const ids = [OTHER_USER, OTHER_USER, OTHER_USER, OTHER_USER].join('\t')
      assert.deepEqual([status.Uid, status.Gid, status.Groups], [ids, ids, ''])
      assert.deepEqual(
        [status.CapEff, status.CapPrm, status.CapInh, status.NoNewPrivs],
        ['0000000000000000', '0000000000000000', '0000000000000000', '1'],
      )
      for (const name of ['environ', 'mem', 'maps', 'fd/1', 'root/etc/shadow'])
        assert.equal(await ask(server, `read:/proc/${server.pid}/${name}`), 'EACCES', name)
      assert.equal(await ask(server, `read:${path.join(state, 'state.json')}`), 'EACCES')
      assert.equal(await ask(server, 'read:/etc/shadow'), 'EACCES')
      // Its own folder lies among those of other workers, which it can neither list nor read.
      const runtime = runtimeFolder(server)
      const [other = ''] = readdirSync(runtime).filter((name) => /^w\d+$/.test(name))
      assert.equal(await ask(server, `shell:ls ${runtime} ${state} 2>/dev/null | wc -l`), '0\n')
      assert.notEqual(other, '')
      assert.equal(await ask(server, `shell:kill -0 ${server.pid} 2>&1 | grep -c permitted`), '1\n')
      await server.close()
      assert.deepEqual(listing(temporary), [])
      if (round === 'first') server = await start(t, args, { temporary })
    }
  },
)

/** Fields of `/proc/<pid>/status`. */
function statusOf(pid: number): Record<string, string> {
  const text = readFileSync(`/proc/${pid}/status`, 'latin1')
  return Object.fromEntries(
    text.split('\n').map((line) => line.split(/:\s*(.*)/s).map((part) => part.trim())),
  )
}

test(
  'I03 I06 workers have no core files, few descriptors and no way to new privileges',
  { skip: needsSetpriv },
  async (t) => {
    const settings = { workerOpenFiles: 200, workerMemoryMib: 3000 }
    const server = await serve(t, [iris], settings)
    const { uid, noNewPrivileges, ownNetwork, coreDumps, openFiles } = await server.logged(
      ({ msg }) => msg === 'isolation of workers',
    )
    assert.deepEqual(
      { uid, noNewPrivileges, ownNetwork, coreDumps, openFiles },
      {
        uid: process.geteuid?.(),
        noNewPrivileges: true,
        ownNetwork: false,
        coreDumps: false,
        openFiles: '200',
      },
    )
    const [worker = 0] = await workerPids(server, 'iris')
    assert.equal(statusOf(worker).NoNewPrivs, '1')
    const limits = readFileSync(`/proc/${worker}/limits`, 'latin1')
    assert.match(limits, /^Max core file size +0 +0 /m)
    assert.match(limits, /^Max open files +200 +200 /m)
    assert.match(limits, /^Max data size +\d{10} +\d{10} /m)
    assert.equal(await classify(server, 'iris'), 200)
  },
)

test('I04 a worker has its own descriptors and none of the server’s', async (t) => {
  const stateDir = temporaryFolder(t)
  const models = [handlerModel(t, 'tool', { workers: 2 }), `m=${iris}`]
  const server = await serve(t, models, { allowHandlers: true, stateDir })
  const descriptors = (pid: number): Map<string, string> =>
    new Map(
      readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
        try {
          return [[fd, readlinkSync(`/proc/${pid}/fd/${fd}`)] as const]
        } catch {
          return []
        }
      }),
    )
  // What this process holds too, the server has inherited; nothing of that is its own.
  const inherited = new Set(descriptors(process.pid).values())
  const ofServer = new Set([...descriptors(server.pid).values()].filter((to) => !inherited.has(to)))
  // Anonymous kinds have the same name in every process; /dev/null is nobody's.
  const shared = (pid: number): [string, string][] =>
    [...descriptors(pid)].filter(([, to]) => ofServer.has(to) && !/^anon_inode|^\/dev\//.test(to))
  const pids = [...(await workerPids(server, 'tool')), ...(await workerPids(server, 'm'))]
  assert.equal(pids.length, workersFor(2) + workersFor(1))
  for (const pid of pids) {
    const open = descriptors(pid)
    assert.equal(open.get('0'), '/dev/null')
    for (const fd of ['1', '2']) assert.match(open.get(fd) ?? '', /^(?:socket|pipe):/)
    // The other ends of its channels are the server's; nothing is open in both.
    assert.deepEqual(
      shared(pid).filter(([, to]) => !/\/dev\/shm\//.test(to)),
      [],
    )
    const files = [...open.values()].filter((to) => to.startsWith('/') && !to.startsWith('/dev/'))
    assert.deepEqual(
      files.filter((to) => to.includes(stateDir)),
      [],
    )
  }
  // A handler sees the same.
  const seen = await ask(server, 'shell:ls -l /proc/self/fd')
  assert.doesNotMatch(seen, new RegExp(`${stateDir}|lock-`))
})

test('I05 a handler that calls the management listener needs the token', async (t) => {
  const tool = handlerModel(t, 'tool')
  const environment = { ONNXD_MANAGEMENT_TOKEN: 'token-of-the-server' }
  const server = await serve(t, [tool], { allowHandlers: true }, { environment })
  const { port } = new URL(server.managementUrl)
  assert.equal(await ask(server, `connect:${port}`), 'connected')
  const call = (method: string, route: string, ...more: string[]): Promise<string> => {
    const flags = ['-s', '-o /dev/null', "-w '%{http_code}'", `-X ${method}`, ...more].join(' ')
    return ask(server, `shell:curl ${flags} http://127.0.0.1:${port}${route}`)
  }
  if (!has('curl', '--version')) return t.skip('needs curl')
  for (const [method, route] of [
    ['GET', '/models'],
    ['DELETE', '/models/tool'],
    ['POST', '/models?url=x'],
    ['GET', '/metrics'],
  ] as const)
    assert.equal(await call(method, route), '401', route)
  assert.equal(await call('GET', '/models', "-H 'authorization: Bearer guess'"), '401')
  assert.equal(
    await call('GET', '/models', `-H "authorization: Bearer $ONNXD_MANAGEMENT_TOKEN"`),
    '401',
  )
})

test(
  'I05 workers without the network reach no listener, and are served as before',
  { skip: needsNetworks },
  async (t) => {
    const tool = handlerModel(t, 'tool')
    const open = await serve(t, [tool], { allowHandlers: true })
    const { port } = new URL(open.inferenceUrl)
    assert.equal(await ask(open, `connect:${port}`), 'connected')
    const closed = await serve(t, [tool, iris], { allowHandlers: true, egress: false })
    assert.equal(await ask(closed, `connect:${port}`), 'ENETUNREACH')
    const own = new URL(closed.managementUrl).port
    assert.equal(await ask(closed, `connect:${own}`), 'ENETUNREACH')
    assert.equal(await classify(closed, 'iris'), 200)
    const { ownNetwork } = await closed.logged(({ msg }) => msg === 'isolation of workers')
    assert.equal(ownNetwork, true)
  },
)

test('I02 I05 an isolation that cannot be had ends the start with a reason', async () => {
  const run = (...args: readonly string[]): { status: number | null; stderr: string } =>
    spawnSync(process.execPath, ['dist/cli.js', 'serve', '--port', '0', ...args], {
      encoding: 'utf8',
      env: { PATH: '' },
    })
  const cut = run('--no-egress')
  assert.deepEqual(
    [cut.status, /The setting --no-egress is not possible/.test(cut.stderr)],
    [2, true],
    cut.stderr,
  )
  const user = run('--worker-user', 'nobody')
  assert.equal(user.status, 2)
  assert.match(user.stderr, /workerUser requires/)
})

test('I02 an id that the system takes for another one ends the start', { skip: needsRoot }, () => {
  for (const user of [
    '99999999999:1',
    '1:99999999999',
    '4294967295',
    '1:4294967295',
    '4294967296',
  ]) {
    const args = ['dist/cli.js', 'serve', '--port', '0', '--worker-user', user]
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
    assert.deepEqual(
      [status, stderr],
      [
        2,
        `onnxd: The user and group ids of the setting workerUser must be at most 4294967294; got ${user}.\n`,
      ],
    )
  }
})
