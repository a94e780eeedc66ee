/**
 * Settings from flags, environment and config file: which one wins, what is rejected, and the error
 * texts.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import {
  ConfigSchema,
  completeConfig,
  environmentName,
  flagName,
  threadsPerWorker,
} from '../../src/config/config.ts'
import type { Config } from '../../src/config/config.ts'
import { parseConfig } from '../../src/config/parse.ts'
import { ConfigError } from '../../src/errors.ts'

function configFile(t: TestContext, content: string, name = 'onnxd.yaml'): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'onnxd-config-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  writeFileSync(path.join(folder, name), content)
  return path.join(folder, name)
}

const flags = (...argv: string[]): Config => parseConfig(argv, {}).config
const environment = (variables: Record<string, string>): Config => parseConfig([], variables).config

/** The message of the refusal. */
function refusal(parse: () => unknown): string {
  try {
    parse()
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error))
    return error.message
  }
  return assert.fail('it was accepted')
}

test('without any setting, everything has the default its schema names, and nothing can be changed', () => {
  const config: Record<string, unknown> = flags()
  const defaults = Object.entries(ConfigSchema.properties).map(([key, { default: value }]) => [
    key,
    value,
  ])
  assert.deepEqual(Object.entries(config), defaults)
  assert.deepEqual(completeConfig(), config)
  assert.ok(Object.isFrozen(config))
  for (const value of Object.values(config)) assert.ok(Object.isFrozen(value))
  assert.throws(() => (config.port = 1), TypeError)
  assert.notEqual(
    completeConfig().providers,
    ConfigSchema.properties.providers.default,
    'the schema’s own list stays out of reach',
  )
})

test('a flag wins over the environment, the environment over the file, the file over the default', (t) => {
  const file = configFile(t, 'port: 1\nbatchSize: 2\nqueueSize: 3\nworkers: 4\n')
  const variables = { ONNXD_PORT: '10', ONNXD_BATCH_SIZE: '20', ONNXD_QUEUE_SIZE: '30' }
  const { config, origins, models } = parseConfig(
    ['a.onnx', '--port', '100', '--config', file, '--batch-size=200', 'b=c'],
    variables,
  )
  assert.deepEqual(
    [config.port, config.batchSize, config.queueSize, config.workers, config.threads],
    [100, 200, 30, 4, 0],
  )
  assert.deepEqual(origins, {
    port: 'command line',
    batchSize: 'command line',
    queueSize: 'environment',
    workers: 'config file',
  })
  assert.deepEqual(models, ['a.onnx', 'b=c'])
  assert.equal(
    parseConfig(['--port', '5', '--port', '6'], {}).config.port,
    6,
    'of two flags the last',
  )
})

test('the environment may name the config file, the flag names another', (t) => {
  const named = configFile(t, 'port: 1')
  const other = configFile(t, 'port: 2')
  assert.equal(environment({ ONNXD_CONFIG: named }).port, 1)
  assert.equal(parseConfig(['--config', other], { ONNXD_CONFIG: named }).config.port, 2)
})

test('the file may be YAML or JSON, and may be empty', (t) => {
  const json = configFile(
    t,
    '{"port": 1, "providers": ["cuda", "cpu"], "accessLog": false, "host": "::1"}',
    'c.json',
  )
  const yaml = configFile(
    t,
    '# comment\nport: 1\nproviders: [cuda, cpu]\naccessLog: false\nhost: "::1"\n',
  )
  assert.deepEqual(flags('--config', json), flags('--config', yaml))
  assert.deepEqual(flags('--config', json).providers, ['cuda', 'cpu'])
  assert.deepEqual(flags('--config', configFile(t, '')), flags())
  assert.deepEqual(flags('--config', configFile(t, '# nothing but a comment\n')), flags())
})

test('a file that cannot be used is refused with its name', (t) => {
  for (const content of [
    '- port: 1',
    '"text"',
    '42',
    'port: 1\nport: 2',
    'port: [',
    '{"port": 1',
    '\tport: 1',
  ]) {
    assert.match(
      refusal(() => flags('--config', configFile(t, content))),
      /onnxd\.yaml/,
      content,
    )
  }
  assert.match(
    refusal(() => flags('--config', '/nowhere/at-all.yaml')),
    /at-all\.yaml: it does not exist\.$/,
  )
  assert.match(
    refusal(() => flags('--config', tmpdir())),
    /Cannot read config file .*: it is a folder\.$/,
  )
})

test('unknown settings are refused by their name, wherever they stand', (t) => {
  assert.match(
    refusal(() => flags('--batchsize', '3')),
    /--batchsize/,
  )
  assert.match(
    refusal(() => flags('--batchSize', '3')),
    /--batchSize/,
  )
  assert.match(
    refusal(() => flags('-x', '3')),
    /-x/,
  )
  for (const key of [
    'batch_size',
    'batch-size',
    'toString',
    'constructor',
    '__proto__',
    'hasOwnProperty',
  ]) {
    for (const value of ['3', '{"port": 3}']) {
      const message = refusal(() =>
        flags('--config', configFile(t, `{${JSON.stringify(key)}: ${value}}`)),
      )
      assert.ok(message.includes(`Unknown setting "${key}" in config file`), message)
    }
  }
  assert.equal(
    environment({ ONNXD_WHATEVER: '1', PORT: '1' }).port,
    8080,
    'the environment may hold more than settings',
  )
})

test('numbers are whole, in range, and written out', (t) => {
  for (const bad of [
    '1.5',
    '1e3',
    '',
    ' 1',
    '1 ',
    '+1',
    '0x10',
    '١',
    'NaN',
    'Infinity',
    'ten',
    '1_000',
    '99999999999999999999',
  ]) {
    const expected = `must be an integer, not ${JSON.stringify(bad)}.`
    assert.equal(
      refusal(() => flags(`--port=${bad}`)),
      `--port ${expected}`,
    )
    assert.equal(
      refusal(() => environment({ ONNXD_PORT: bad })),
      `ONNXD_PORT ${expected}`,
    )
  }
  for (const bad of ['1.5', '"8"', 'null', '[8]', 'true', 'NaN', '.inf', '~', '65536', '-1']) {
    const message = refusal(() => flags('--config', configFile(t, `port: ${bad}`)))
    assert.match(message, /config file .*onnxd\.yaml.*port: /, bad)
  }
  for (const [key, bad] of [
    ['port', '65536'],
    ['port', '-1'],
    ['batchSize', '0'],
    ['workers', '257'],
    ['queueBytes', '0'],
    ['maxBodyBytes', '2147483648'],
  ] as const) {
    assert.match(
      refusal(() => flags(`--${flagName(key)}=${bad}`)),
      new RegExp(`the command line is not valid: ${key}: .*got ${bad}`),
    )
    assert.match(
      refusal(() => environment({ [environmentName(key)]: bad })),
      new RegExp(`the environment is not valid: ${key}: .*got ${bad}`),
    )
  }
  assert.deepEqual(
    [flags('--port=0').port, flags('--port=65535').port, flags('--workers', '256').workers],
    [0, 65_535, 256],
  )
})

test('booleans are flags with and without no-, and true, false, 1 or 0 in the environment', (t) => {
  assert.deepEqual([flags('--allow-handlers').allowHandlers, flags().allowHandlers], [true, false])
  assert.deepEqual(
    [flags('--no-access-log').accessLog, flags().accessLog, flags('--access-log').accessLog],
    [false, true, true],
  )
  for (const [text, value] of [
    ['true', true],
    ['1', true],
    ['false', false],
    ['0', false],
  ] as const) {
    assert.equal(environment({ ONNXD_TELEMETRY: text }).telemetry, value)
  }
  for (const bad of ['', 'yes', 'TRUE', 'no', '2', ' true']) {
    assert.equal(
      refusal(() => environment({ ONNXD_TELEMETRY: bad })),
      `ONNXD_TELEMETRY must be true or false, not ${JSON.stringify(bad)}.`,
    )
  }
  for (const bad of ['"true"', '1', 'yes please', 'null']) {
    assert.match(
      refusal(() => flags('--config', configFile(t, `telemetry: ${bad}`))),
      /telemetry: /,
    )
  }
  assert.match(
    refusal(() => flags('--allow-handlers=true')),
    /--allow-handlers/,
  )
  assert.match(
    refusal(() => flags('--no-port')),
    /--no-port/,
  )
  assert.match(
    refusal(() => flags('--port')),
    /--port/,
  )
})

test('lists are separated by commas, blanks around their entries do not count', (t) => {
  assert.deepEqual(flags('--providers', 'cuda, cpu').providers, ['cuda', 'cpu'])
  assert.deepEqual(environment({ ONNXD_PROVIDERS: ' cuda ,,cpu,' }).providers, ['cuda', 'cpu'])
  assert.deepEqual(environment({ ONNXD_PROVIDERS: '' }).providers, [])
  assert.match(
    refusal(() => flags('--config', configFile(t, 'providers: cuda'))),
    /providers: /,
  )
  assert.match(
    refusal(() => flags('--config', configFile(t, 'providers: [cuda, ""]'))),
    /providers\.1: /,
  )
  assert.match(
    refusal(() => flags('--config', configFile(t, 'providers: [1]'))),
    /providers\.0: /,
  )
})

test('a choice is one of its words, and the refusal names them', (t) => {
  assert.equal(flags('--log-level', 'silent').logLevel, 'silent')
  const expected = /logLevel: Expected one of trace,debug,info,warn,error,fatal,silent, got "loud"/
  assert.match(
    refusal(() => flags('--log-level', 'loud')),
    expected,
  )
  assert.match(
    refusal(() => environment({ ONNXD_LOG_LEVEL: 'loud' })),
    expected,
  )
  assert.match(
    refusal(() => flags('--config', configFile(t, 'logLevel: loud'))),
    expected,
  )
})

test('a bad value is refused even where a better one would win', (t) => {
  assert.match(
    refusal(() => parseConfig(['--port', '1'], { ONNXD_PORT: 'x' })),
    /ONNXD_PORT/,
  )
  assert.match(
    refusal(() => flags('--port', '1', '--config', configFile(t, 'port: x'))),
    /config file/,
  )
})

test('a text that a setting cannot have is refused, with the setting and the text', () => {
  for (const [key, good, ...bad] of [
    ['host', 'localhost', '', ' '],
    ['allowedHosts', 'models.internal', 'http://x', 'x:80', 'x/y', '[::1]'],
    [
      'allowedOrigins',
      'https://x:8443/',
      'x',
      'x:80',
      'https://x/path',
      'ftp://x',
      '*',
      'https://u@x',
    ],
    ['corsOrigins', 'https://x', 'null', 'x', 'https://x/path', 'app://x', 'https://*.x'],
    ['corsMethods', 'PATCH', 'GET POST', 'GET;'],
    ['corsHeaders', 'X-Own', 'X Own', 'X:Y'],
    ['trustProxy', '10.0.0.0/8', '10.0.0.0/33', '10.0.0/8', '10.0.0.0/', '::/129', 'proxy', '*'],
    ['trustProxy', '2001:db8::/32', '/8', '10.0.0.0/8/8', '10.0.0.0/-1', 'fd00::%eth0/8'],
    ['trustProxy', 'loopback', 'Loopback'],
    ['workerEnvironment', 'http_proxy', 'A=B', 'A B', '1A', 'AWS_*'],
  ] as const) {
    flags(`--${flagName(key)}=${good}`)
    for (const text of bad) {
      const message = refusal(() => flags(`--${flagName(key)}=${text}`))
      assert.ok(message.startsWith(`A setting in the command line is not valid: ${key} must be `))
      assert.ok(message.endsWith(`; got ${JSON.stringify(text)}.`), message)
      assert.match(
        refusal(() => environment({ [environmentName(key)]: text })),
        /the environment/,
      )
    }
  }
  for (const origin of ['*', 'http://localhost:3000', 'HTTPS://X/']) flags('--cors-origins', origin)
  // Of a list, each text counts.
  assert.match(
    refusal(() => flags('--allowed-origins', 'https://x,y')),
    /got "y"\.$/,
  )
})

test('every setting has a flag and a variable of its own, and a description', () => {
  const keys = Object.keys(ConfigSchema.properties)
  assert.deepEqual(
    [flagName('maxBatchDelay'), environmentName('maxBatchDelay')],
    ['max-batch-delay', 'ONNXD_MAX_BATCH_DELAY'],
  )
  assert.equal(new Set(keys.map(flagName)).size, keys.length)
  assert.equal(new Set(keys.map(environmentName)).size, keys.length)
  for (const [key, { description }] of Object.entries(ConfigSchema.properties)) {
    assert.ok(description?.endsWith('.'), key)
    assert.ok(
      !['config', 'help', 'version'].includes(key) && !key.startsWith('no'),
      `${key} would clash with a flag`,
    )
  }
})

test('threads are shared between the workers of a model unless they are set', () => {
  assert.equal(threadsPerWorker(completeConfig({ threads: 3 }), 100), 3)
  assert.equal(threadsPerWorker(completeConfig(), 1), availableParallelism())
  assert.deepEqual(
    [threadsPerWorker(completeConfig(), 0), threadsPerWorker(completeConfig(), 10_000)],
    [availableParallelism(), 1],
  )
})

test('what Kubernetes sets for a service called onnxd is no setting, and that is said', () => {
  const { config, ignored, imports, origins } = parseConfig([], {
    ONNXD_PORT: 'tcp://10.0.0.1:8080',
    ONNXD_MANAGEMENT_PORT: 'udp://[fd00::1]:9',
    ONNXD_SERVICE_HOST: '10.0.0.1',
    ONNXD_WORKERS: '2',
  })
  assert.deepEqual([config.port, config.managementPort, config.workers], [8080, 8081, 2])
  assert.deepEqual(origins, { workers: 'environment' })
  assert.deepEqual(imports, [])
  assert.deepEqual(ignored, [
    'These variables are ignored, because Kubernetes sets them for services: ONNXD_MANAGEMENT_PORT, ONNXD_PORT, ONNXD_SERVICE_HOST',
  ])
  assert.deepEqual(parseConfig([], { ONNXD_PORT: '9000' }).ignored, [])
  for (const bad of ['tcp://10.0.0.1', 'http://10.0.0.1:80', 'tcp:80'])
    assert.throws(() => parseConfig([], { ONNXD_PORT: bad }), ConfigError, bad)
  assert.throws(() => parseConfig([], { ONNXD_WORKERS: 'tcp://10.0.0.1:80' }), ConfigError)
})

test('a batch delay is a number of milliseconds or the word auto', () => {
  const delayOf = (text: string): unknown =>
    parseConfig(['--max-batch-delay', text], {}).config.maxBatchDelay
  assert.deepEqual(['auto', '0', '0.1', '60000'].map(delayOf), ['auto', 0, 0.1, 60_000])
  assert.throws(() => delayOf('soon'), /must be a number or auto, not "soon"/)
  assert.throws(() => delayOf('60001'), /number from 0 to 60000 or auto, got 60001/)
})

test('D3: a variable that looks like a setting and is none is told, with the one that was meant', (t) => {
  const { config, ignored } = parseConfig([], {
    ONNXD_BATCHSIZE: '8',
    ONNXD_MANAGMENT_TOKEN: 'secret-value',
    onnxd_workers: '3',
    'ONNXD-PORT': '9',
    ONNXD_QQQQQQQQ: 'x',
    ONNXD_CONFIG: configFile(t, 'batchSize: 2'),
    ONNX_BATCH_SIZE: 'another program’s',
    PATH: '/bin',
  })
  assert.equal(config.batchSize, 2)
  assert.deepEqual(ignored, [
    'ONNXD_BATCHSIZE is ignored: there is no such setting. Did you mean ONNXD_BATCH_SIZE?',
    'ONNXD_MANAGMENT_TOKEN is ignored: there is no such setting. Did you mean ONNXD_MANAGEMENT_TOKEN?',
    'onnxd_workers is ignored: there is no such setting. Did you mean ONNXD_WORKERS?',
    'ONNXD-PORT is ignored: there is no such setting. Did you mean ONNXD_PORT?',
    'ONNXD_QQQQQQQQ is ignored: there is no such setting.',
  ])
})

test('D3: the variables of Kubernetes’ services are one line, whatever the services are called', () => {
  const service = (name: string, port: number): Record<string, string> => ({
    [`${name}_SERVICE_HOST`]: '10.0.0.1',
    [`${name}_SERVICE_PORT`]: String(port),
    [`${name}_SERVICE_PORT_HTTP`]: String(port),
    [`${name}_PORT`]: `tcp://10.0.0.1:${port}`,
    [`${name}_PORT_${port}_TCP`]: `tcp://10.0.0.1:${port}`,
    [`${name}_PORT_${port}_TCP_PROTO`]: 'tcp',
    [`${name}_PORT_${port}_TCP_PORT`]: String(port),
    [`${name}_PORT_${port}_TCP_ADDR`]: '10.0.0.1',
  })
  const variables = {
    ...service('ONNXD', 8080),
    ...service('ONNXD_MANAGEMENT', 8081),
    ...service('ONNXD_CANARY_2', 80),
  }
  const { config, ignored } = parseConfig([], variables)
  assert.deepEqual([config.port, config.managementPort], [8080, 8081])
  assert.deepEqual(ignored, [
    `These variables are ignored, because Kubernetes sets them for services: ${Object.keys(variables).toSorted().join(', ')}`,
  ])
})

test('D3: an unknown flag or key of the file names the one that was meant', (t) => {
  assert.match(
    refusal(() => flags('--batchsize=3')),
    /^Unknown flag --batchsize\. Did you mean --batch-size\? Run "onnxd help serve" .*\.$/,
  )
  assert.match(
    refusal(() => flags('--no-acces-log')),
    /^Unknown flag --no-acces-log\. Did you mean --no-access-log\? Run /,
  )
  assert.match(
    refusal(() => flags('--config', configFile(t, 'batch_size: 3'))),
    /Did you mean batchSize\?$/,
  )
  const allFlags = 'Run "onnxd help serve" to list all flags.'
  assert.equal(
    refusal(() => flags('--zzzzzzzz')),
    `Unknown flag --zzzzzzzz. ${allFlags}`,
  )
  assert.equal(
    refusal(() => flags('--port')),
    `--port needs a value. ${allFlags}`,
  )
  for (const [argument, problem] of [
    ['--hepl', 'Unknown flag --hepl. Did you mean --help?'],
    ['--warm-up=1', '--warm-up takes no value.'],
  ] as const) {
    assert.equal(
      refusal(() => flags(argument)),
      `${problem} ${allFlags}`,
    )
  }
  const dash = 'Write one that starts with a dash as --port=VALUE.'
  assert.equal(
    refusal(() => flags('--port', '-1')),
    `--port needs a value. ${dash} ${allFlags}`,
  )
})

test('C11: white space around a token does not count; a token that no client can send is refused', (t) => {
  for (const text of ['abc', 'abc\n', 'abc\r\n', ' \tabc ']) {
    assert.equal(environment({ ONNXD_MANAGEMENT_TOKEN: text }).managementToken, 'abc')
    assert.equal(flags('--management-token', text).managementToken, 'abc')
    const file = configFile(t, JSON.stringify({ managementToken: text }))
    assert.equal(flags('--config', file).managementToken, 'abc')
  }
  for (const [text, pattern] of [
    ['', /is empty/],
    ['\n', /is empty/],
    [' ', /is empty/],
    ['a b', /visible ASCII/],
    ['a\nb', /visible ASCII/],
    ['a\0b', /visible ASCII/],
    ['a\u007fb', /visible ASCII/],
    ['schlüssel', /visible ASCII/],
  ] as const) {
    assert.match(
      refusal(() => environment({ ONNXD_MANAGEMENT_TOKEN: text })),
      pattern,
    )
    const file = configFile(t, JSON.stringify({ managementToken: text }))
    const message = refusal(() => flags('--config', file))
    assert.match(message, pattern)
    assert.ok(!message.includes('schl'), 'the token is not shown')
  }
  // A better one would win, but the mistake is told all the same.
  assert.match(
    refusal(() => parseConfig(['--management-token', 'x'], { ONNXD_MANAGEMENT_TOKEN: '\n' })),
    /managementToken in the environment is empty/,
  )
})

test('API tokens in the config file are a text or the list itself', (t) => {
  const list = [{ name: 'a', token: 'a-secret' }]
  for (const tokens of [JSON.stringify(list), list]) {
    const file = configFile(t, JSON.stringify({ tokens }))
    assert.deepEqual(JSON.parse(flags('--config', file).tokens), list)
  }
})

test('E10: a number is written in plain digits, wherever it stands', (t) => {
  const odd = [
    '1e999',
    'Infinity',
    '-Infinity',
    'NaN',
    '1e3',
    '0x10',
    '+5',
    '',
    ' 5',
    '5 ',
    '5.0',
    '٥',
    '1_0',
  ]
  for (const text of odd) {
    refusal(() => flags(`--batch-size=${text}`))
    // A delay may have a fraction.
    if (text !== '5.0') refusal(() => flags(`--max-batch-delay=${text}`))
    refusal(() => environment({ ONNXD_BATCH_SIZE: text }))
  }
  for (const text of ['.inf', '-.inf', '.nan', '1e999', '"5"', '5.5', '"1e3"'])
    refusal(() => flags('--config', configFile(t, `batchSize: ${text}`)))
})
