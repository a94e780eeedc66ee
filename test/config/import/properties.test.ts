import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ConfigSchema, completeConfig } from '../../../src/config/config.ts'
import { decodeProperties, parseProperties } from '../../../src/config/import/properties-text.ts'
import { describeImport, importProperties } from '../../../src/config/import/properties.ts'
import type { Import } from '../../../src/config/import/properties.ts'
import { sagemakerSettings } from '../../../src/config/import/sagemaker.ts'
import { ConfigError } from '../../../src/errors.ts'

/** Every key of the configuration files of MMS and TorchServe. */
const MMS_KEYS =
  `inference_address management_address model_store load_models default_workers_per_model
  default_response_timeout default_response_timeout_seconds unregister_model_timeout job_queue_size
  max_request_size max_response_size number_of_gpu number_of_netty_threads netty_client_threads
  preload_model default_service_handler decode_input_request blacklist_env_vars cors_allowed_origin
  cors_allowed_methods cors_allowed_headers keystore keystore_pass keystore_type private_key_file
  certificate_file async_logging prefer_direct_buffer debug model_server_home use_native_io io_ratio
  metric_time_interval enable_envvars_config vmargs plugins_path`.split(/\s+/)
const TORCHSERVE_KEYS =
  `metrics_address models default_startup_timeout service_envelope initial_worker_port
  initial_distribution_port allowed_urls use_env_allowed_urls install_py_dep_per_model workflow_store
  enable_metrics_api metrics_config metrics_mode model_metrics_auto_detect disable_system_metrics
  system_metrics_cmd grpc_inference_address grpc_inference_port grpc_management_address
  grpc_management_port grpc_inference_max_connection_age_ms grpc_inference_max_connection_age_grace_ms
  grpc_management_max_connection_age_ms grpc_management_max_connection_age_grace_ms enable_grpc_ssl
  limit_max_image_pixels enable_model_api disable_token_authorization token_expiration_min
  ts_header_key_sequence_id ts_header_key_sequence_start ts_header_key_sequence_end
  ts_open_inference_protocol ipex_enable ipex_gpu_enable cpu_launcher_enable cpu_launcher_args
  cpp_log_config`.split(/\s+/)

function parsed(text: string): Record<string, string> {
  return Object.fromEntries(parseProperties(text))
}

function reasonOf({ ignored }: Import, key: string): string {
  return ignored.find((entry) => entry.key === key)?.reason ?? ''
}

/** Whatever is imported must be settings that the server takes. */
function assertUsable({ settings }: Import): void {
  for (const key of Object.keys(settings))
    assert.ok(Object.hasOwn(ConfigSchema.properties, key), key)
  completeConfig(settings)
}

test('properties are read as Java reads them', () => {
  const cases: [text: string, expected: Record<string, string>][] = [
    ['a=1\nb:2\nc 3\nd\t=\t4\r\ne  :  5\rf', { a: '1', b: '2', c: '3', d: '4', e: '5', f: '' }],
    ['# a=1\n  ! b=2\n\n \t\f\n  c=3', { c: '3' }],
    ['# comment \\\na=1', { a: '1' }],
    ['a=1,\\\n    2,\\\r\n\t3\nb=x', { a: '1,2,3', b: 'x' }],
    ['a=1\\\n# not a comment', { a: '1# not a comment' }],
    ['a=x\\\\\nb=y', { a: 'x\\', b: 'y' }],
    ['a=x\\\\\\\nb=y', { a: 'x\\b=y' }],
    ['a=x\\', { a: 'x' }],
    ['a=\\\n\nb=y', { a: '', b: 'y' }],
    ['a\\ b\\=c\\:d=e', { 'a b=c:d': 'e' }],
    ['a=\\t\\n\\r\\f\\q\\"\\\\', { a: '\t\n\r\fq"\\' }],
    ['a=\\u00e9\\u4E2D\\\\u0041', { a: 'é中\\u0041' }],
    ['a==b\nc=:d\ne = = f', { a: '=b', c: ':d', e: '= f' }],
    ['a=trailing  \n=empty key\n', { a: 'trailing  ', '': 'empty key' }],
    ['a=1\na=2', { a: '2' }],
    ['\u00EF\u00BB\u00BFa=1', { a: '1' }],
    ['url=http\\://x\\:1/y=z', { url: 'http://x:1/y=z' }],
    ['__proto__=x', Object.fromEntries([['__proto__', 'x']])],
    ['', {}],
  ]
  for (const [text, expected] of cases)
    assert.deepEqual(parsed(text), expected, JSON.stringify(text))
  assert.deepEqual(parsed(decodeProperties(Buffer.from([0x61, 0x3d, 0xe9]))), { a: 'é' })
  for (const broken of ['a=\\u12', 'a=\\uxyzw', 'a\\u=1'])
    assert.throws(() => parseProperties(broken), ConfigError)
})

test('a file of MMS becomes settings', () => {
  const result = importProperties(
    `inference_address=http://0.0.0.0:9090
    management_address=http://[::1]:9091
    model_store=$$STORE$$/models
    load_models=squeezenet.mar, digits=digits.onnx, mine=/srv/mine
    default_workers_per_model=4
    default_response_timeout=2
    job_queue_size = 250
    max_request_size=1000000
    max_response_size=2000000
    number_of_gpu=2
    debug=true
    async_logging=true`,
    { STORE: '/data' },
  )
  assert.equal(result.origin, 'mms')
  assert.deepEqual(result.settings, {
    host: '0.0.0.0',
    port: 9090,
    managementHost: '::1',
    managementPort: 9091,
    modelStore: '/data/models',
    load: 'squeezenet.mar',
    workers: 4,
    responseTimeout: 120,
    queueSize: 250,
    maxBodyBytes: 1_000_000,
    maxJsonBytes: 1_000_000,
    maxResponseBytes: 2_000_000,
    gpus: 2,
    logLevel: 'debug',
  })
  assert.deepEqual(result.models, ['digits=/data/models/digits.onnx', 'mine=/srv/mine'])
  assert.deepEqual(
    result.ignored.map(({ key }) => key),
    ['async_logging'],
  )
  assertUsable(result)
})

test('a file of TorchServe becomes settings, its timeouts in seconds', () => {
  const snapshot = {
    name: 'startup.cfg',
    models: {
      digits: {
        '1.0': { defaultVersion: false, marName: 'digits-1.mar', minWorkers: 1 },
        '2.0': { defaultVersion: true, marName: 'digits-2.mar', minWorkers: 1 },
      },
    },
  }
  const result = importProperties(
    `inference_address=http://127.0.0.1
    metrics_address=http://127.0.0.1:8082
    default_response_timeout=90
    default_startup_timeout=30
    model_store=/store
    model_snapshot=${JSON.stringify(snapshot)}
    models={"digits":{"1.0":{"marName":"digits.mar"}}}`,
    {},
  )
  assert.equal(result.origin, 'torchserve')
  assert.deepEqual(result.settings, {
    host: '127.0.0.1',
    port: 80,
    responseTimeout: 90,
    loadTimeout: 30,
    modelStore: '/store',
    load: 'none',
  })
  assert.deepEqual(result.models, ['digits=/store/digits-2.mar'])
  for (const key of ['metrics_address', 'models', 'model_snapshot'])
    assert.notEqual(reasonOf(result, key), '')
  assertUsable(result)
})

test('the unit of default_response_timeout follows the server a file was written for', () => {
  const timeoutOf = (text: string, environment = {}): unknown =>
    importProperties(text, environment).settings.responseTimeout
  assert.equal(timeoutOf('default_response_timeout=3'), 180)
  assert.equal(timeoutOf('default_response_timeout=3\ngrpc_inference_port=7070'), 3)
  assert.equal(timeoutOf('default_response_timeout=3', { TS_CONFIG_FILE: 'x' }), 3)
  assert.equal(timeoutOf('enable_envvars_config=true', { TS_DEFAULT_RESPONSE_TIMEOUT: '3' }), 3)
  assert.equal(timeoutOf('enable_envvars_config=true', { MMS_DEFAULT_RESPONSE_TIMEOUT: '3' }), 180)
  for (const order of [
    [0, 1],
    [1, 0],
  ] as const) {
    const lines = ['default_response_timeout=3', 'default_response_timeout_seconds=7']
    const result = importProperties(order.map((index) => lines[index]).join('\n'), {})
    assert.equal(result.settings.responseTimeout, 7)
    assert.match(reasonOf(result, 'default_response_timeout'), /has precedence/)
  }
  assert.equal(timeoutOf('default_response_timeout=3\ndefault_response_timeout_seconds=-1'), 180)
  assert.equal(timeoutOf('default_response_timeout=5000'), 86_400)
})

test('every key of both servers is applied or has a reason, and no secret is shown', () => {
  const text = [...MMS_KEYS, ...TORCHSERVE_KEYS].map((key) => {
    if (key.endsWith('_address')) return `${key}=http://127.0.0.1:8085`
    if (/workers|timeout|size|number_of|io_ratio/.test(key)) return `${key}=5`
    return `${key}=${key === 'keystore_pass' ? 'changeit' : 'true'}`
  })
  const result = importProperties(
    [...text, 'unheard_of=hunter2', 'vmargs=-DkeyStorePassword=hunter2'].join('\n'),
    {},
  )
  const seen = new Set([...result.applied, ...result.ignored].map(({ key }) => key))
  for (const key of [...MMS_KEYS, ...TORCHSERVE_KEYS, 'unheard_of']) assert.ok(seen.has(key), key)
  for (const { key, reason } of result.ignored) {
    assert.ok(reason !== '' && !reason.includes('\n'), key)
    assert.equal(/have no such key/.test(reason), key === 'unheard_of', key)
  }
  assertUsable(result)
  const description = describeImport(result)
  assert.equal(description.split('\n').length, result.applied.length + result.ignored.length)
  assert.doesNotMatch(`${description}${JSON.stringify(result)}`, /changeit|hunter2/)
  assert.match(description, /^job_queue_size: queueSize = 5$/m)
  assert.match(description, /^unheard_of=\(hidden\) is ignored: /m)
})

test('values at and beyond the limits never give settings that stop the server', () => {
  const keys = MMS_KEYS.filter((key) =>
    /workers_per|response_timeout|queue_size|max_re|number_of_gpu/.test(key),
  )
  for (const value of ['-5', '-1', '0', '1', '65', '257', '90000', '2147483647', '9999999999']) {
    for (const key of [...keys, 'default_startup_timeout']) {
      if (key === 'default_response_timeout' && value.length > 9) continue
      const result = importProperties(`${key}=${value}`, {})
      assertUsable(result)
      assert.ok(result.applied.length + result.ignored.length > 0, `${key}=${value}`)
    }
  }
  // Zero workers means "one for each CPU" there and "none" here.
  assert.equal(importProperties('default_workers_per_model=0', {}).settings.workers, undefined)
})

test('what cannot be applied is ignored with its reason', () => {
  for (const address of ['https://0.0.0.0:8443', 'unix:/tmp/x.sock']) {
    const result = importProperties(`inference_address=${address}`, {})
    assert.deepEqual(result.settings, {})
    assert.notEqual(reasonOf(result, 'inference_address'), '')
  }
  const result = importProperties(
    'load_models=a=https://user:pw@example.org/a.mar,b=../../b.mar,c=c.mar,cors_allowed_origin\ncors_allowed_origin=*\nnumber_of_gpu=',
    {},
  )
  assert.deepEqual(result.models, [])
  assert.equal(result.settings.load, 'cors_allowed_origin')
  assert.equal(result.ignored.filter(({ key }) => key === 'load_models').length, 3)
  assert.doesNotMatch(JSON.stringify(result.ignored), /user:pw/)
  assert.equal(reasonOf(result, 'number_of_gpu'), 'the value is empty')
  assert.equal(importProperties('load_models=ALL\nmodel_store=m', {}).settings.load, 'all')
})

test('https keeps its certificate', () => {
  const files = 'private_key_file=/k.pem\ncertificate_file=/c.pem'
  const both = importProperties(
    `inference_address=https://0.0.0.0\nmanagement_address=https://127.0.0.1:8444\n${files}`,
    {},
  )
  assert.deepEqual(both.settings, {
    host: '0.0.0.0',
    port: 443,
    managementHost: '127.0.0.1',
    managementPort: 8444,
    tlsKey: '/k.pem',
    tlsCert: '/c.pem',
  })
  // The files are of no use to servers whose addresses are http.
  const plain = importProperties(`inference_address=http://0.0.0.0:80\n${files}`, {})
  assert.deepEqual(plain.settings, { host: '0.0.0.0', port: 80 })
  assert.equal(reasonOf(plain, 'certificate_file'), 'no address begins with https')
})

test('origins of web pages are kept', () => {
  const { settings } = importProperties(
    'cors_allowed_origin=https://a.example, https://b.example:8443\ncors_allowed_methods=GET, POST\ncors_allowed_headers=X-A,Content-Type',
    {},
  )
  assert.deepEqual(settings, {
    corsOrigins: ['https://a.example', 'https://b.example:8443'],
    corsMethods: ['GET', 'POST'],
    corsHeaders: ['X-A', 'Content-Type'],
  })
  assert.deepEqual(importProperties('cors_allowed_origin=*', {}).settings, { corsOrigins: ['*'] })
  const wrong = importProperties('cors_allowed_origin=null\ncors_allowed_methods=GET', {})
  assert.deepEqual(wrong.settings, { corsMethods: ['GET'] })
  const alone = importProperties('cors_allowed_methods=GET', {})
  assert.equal(reasonOf(alone, 'cors_allowed_methods'), 'cors_allowed_origin is not set')
})

test('mistakes stop the start and name the key, never the value', () => {
  const mistakes = [
    'job_queue_size=many',
    'job_queue_size=1.5',
    'default_response_timeout=1m',
    'inference_address=0.0.0.0:8080',
    'inference_address=http://host:99999',
    'model_snapshot={',
  ]
  for (const mistake of mistakes) {
    const key = mistake.slice(0, mistake.indexOf('='))
    assert.throws(
      () => importProperties(mistake, {}),
      (error) => error instanceof ConfigError && error.message.startsWith(`${key}: `),
      mistake,
    )
  }
  assert.throws(() => importProperties('keystore_pass=$$NOT_SET$$', {}), /keystore_pass.*NOT_SET/)
})

test('variables stand in values, and override keys where the file allows it', () => {
  const environment = {
    A: '80$&',
    B: '81',
    MMS_JOB_QUEUE_SIZE: '7',
    TS_JOB_QUEUE_SIZE: '9',
    MMS_VMARGS: '-X',
  }
  assert.equal(
    importProperties('model_store=$$A$$/$$B$$/$$', environment).settings.modelStore,
    '80$&/81/$$',
  )
  assert.equal(importProperties('job_queue_size=5', environment).settings.queueSize, 5)
  const mms = { MMS_JOB_QUEUE_SIZE: '7', MMS_VMARGS: '-X', MMS_MODELS: '{}' }
  const overridden = importProperties('enable_envvars_config=TRUE\njob_queue_size=5', mms)
  assert.equal(overridden.settings.queueSize, 7)
  assert.deepEqual(
    overridden.ignored.map(({ key }) => key),
    ['enable_envvars_config'],
  )
  assert.equal(
    importProperties('enable_envvars_config=true\nmetrics_address=x', environment).settings
      .queueSize,
    9,
  )
  const urls = { TS_ALLOWED_URLS: 'x', TS_JOB_QUEUE_SIZE: '3' }
  assert.equal(reasonOf(importProperties('enable_envvars_config=true', urls), 'allowed_urls'), '')
  const allowed = importProperties('enable_envvars_config=true\nuse_env_allowed_urls=true', urls)
  assert.notEqual(reasonOf(allowed, 'allowed_urls'), '')
})

test('the configuration that MMS ships for SageMaker is read, one port for both listeners', () => {
  const result = importProperties(
    `model_store=$$SAGEMAKER_MODEL_STORE$$
    inference_address=http://0.0.0.0:$$SAGEMAKER_BIND_TO_PORT$$
    management_address=http://0.0.0.0:$$SAGEMAKER_BIND_TO_PORT$$
    default_response_timeout=$$SAGEMAKER_RESPONSE_TIMEOUT$$
    decode_input_request=false
    preload_model=false`,
    { SAGEMAKER_MODEL_STORE: '/', SAGEMAKER_BIND_TO_PORT: '8080', SAGEMAKER_RESPONSE_TIMEOUT: '1' },
  )
  const { port, managementPort, responseTimeout } = result.settings
  assert.deepEqual([port, managementPort, responseTimeout], [8080, 8080, 60])
  assertUsable(result)
})

test('a SageMaker container is configured by its variables', () => {
  assert.equal(sagemakerSettings({}), undefined)
  assert.equal(sagemakerSettings({ SAGEMAKER_MODEL_SERVER_WORKERS: '2' }), undefined)
  const single = sagemakerSettings({
    SAGEMAKER_BIND_TO_PORT: '8000',
    SAGEMAKER_SAFE_PORT_RANGE: '8000-8010',
    SAGEMAKER_MODEL_SERVER_TIMEOUT: '5',
    SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS: '45',
    SAGEMAKER_MODEL_SERVER_WORKERS: '2',
    SAGEMAKER_MODEL_JOB_QUEUE_SIZE: '50',
    SAGEMAKER_MAX_PAYLOAD_IN_MB: '6',
    SAGEMAKER_STARTUP_TIMEOUT: '600',
    SAGEMAKER_PROGRAM: 'inference.py',
    SAGEMAKER_MY_TOKEN: 'hunter2-token',
  })
  assert.ok(single !== undefined)
  assert.deepEqual(single.settings, {
    host: '0.0.0.0',
    port: 8000,
    managementPort: 8001,
    responseTimeout: 45,
    loadTimeout: 600,
    workers: 2,
    queueSize: 50,
    maxBodyBytes: 6 * 1024 * 1024,
    maxJsonBytes: 6 * 1024 * 1024,
  })
  assert.deepEqual(single.models, ['model=/opt/ml/model'])
  assert.deepEqual(
    single.ignored.map(({ key }) => key),
    ['SAGEMAKER_PROGRAM', 'SAGEMAKER_MY_TOKEN'],
  )
  assert.doesNotMatch(describeImport(single), /hunter2/)
  assertUsable(single)

  const multi = sagemakerSettings({
    SAGEMAKER_MULTI_MODEL: 'true',
    SAGEMAKER_NUM_MODEL_WORKERS: '1',
  })
  assert.ok(multi !== undefined)
  assert.deepEqual(multi.settings, {
    host: '0.0.0.0',
    port: 8080,
    managementHost: '0.0.0.0',
    managementPort: 8080,
    insecureManagement: true,
    modelStore: '/opt/ml/models',
    load: 'none',
    allowLocalPaths: true,
    checkMemory: true,
    workers: 1,
  })
  assert.deepEqual(multi.models, [])
  assertUsable(multi)

  const off = sagemakerSettings({
    SAGEMAKER_MULTI_MODEL: 'false',
    SAGEMAKER_MODEL_STORE: '/models',
  })
  assert.equal(off?.settings.managementHost, undefined)
  assert.equal(off?.settings.modelStore, '/models')
  for (const environment of [
    { SAGEMAKER_BIND_TO_PORT: 'x' },
    { SAGEMAKER_BIND_TO_PORT: '70000' },
    { SAGEMAKER_BIND_TO_PORT: '8080', SAGEMAKER_SAFE_PORT_RANGE: '8080-8080' },
    { SAGEMAKER_BIND_TO_PORT: '8080', SAGEMAKER_SAFE_PORT_RANGE: 'any' },
    { SAGEMAKER_BIND_TO_PORT: '8080', SAGEMAKER_MODEL_SERVER_WORKERS: 'two' },
  ]) {
    assert.throws(() => sagemakerSettings(environment), /^ConfigError: SAGEMAKER_/)
  }
})
