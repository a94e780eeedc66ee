/**
 * Writes `docs/configuration.md`: every setting of the server and of `model.json`, from their
 * schemas.
 */
import { KindGuard } from '@sinclair/typebox'
import type { TSchema } from '@sinclair/typebox'
import { ConfigSchema, environmentName, flagName } from '../src/config/config.ts'
import type { Config } from '../src/config/config.ts'
import { ModelSettings } from '../src/model-folder/settings.ts'
import { GENERATED, code, table } from './markdown.ts'

/**
 * The headings of the page and their settings. Settings without a heading come last, under "Other".
 */
const SECTIONS: readonly [title: string, keys: readonly (keyof Config)[]][] = [
  [
    'Listeners',
    [
      'host',
      'port',
      'managementHost',
      'managementPort',
      'managementToken',
      'allowedHosts',
      'insecureManagement',
      'maxConnections',
      'headersTimeout',
      'bodyTimeout',
      'requestTimeout',
      'keepAliveTimeout',
      'writeTimeout',
      'serverName',
      'exposeRepository',
      'lenientParameters',
    ],
  ],
  [
    'Access',
    [
      'tokensFile',
      'tokens',
      'tlsCert',
      'tlsKey',
      'tlsClientCa',
      'corsOrigins',
      'corsMethods',
      'corsHeaders',
      'trustProxy',
      'rateLimit',
      'rateLimitWindow',
    ],
  ],
  ['Models', ['modelStore', 'load', 'stateDir', 'allowLocalPaths', 'allowHandlers', 'python']],
  [
    'Uploads and downloads',
    ['allowedOrigins', 'allowPrivateAddresses', 'maxModelBytes', 'downloadTimeout'],
  ],
  [
    'Workers and batches',
    [
      'workers',
      'spareWorkers',
      'threads',
      'batchSize',
      'maxBatchDelay',
      'joinBatches',
      'queueSize',
      'queueBytes',
      'queueTimeout',
      'priorityLevels',
      'defaultPriorityLevel',
      'overloadStatus',
      'responseTimeout',
      'loadTimeout',
      'crashQuarantine',
      'stopDelay',
      'drainTimeout',
      'workerEnvironment',
      'workerUser',
      'egress',
      'workerOpenFiles',
    ],
  ],
  [
    'Memory and recycling of workers',
    [
      'workerMemoryMib',
      'checkMemory',
      'workerHeapMib',
      'recycleAfterRequests',
      'recycleAfterSeconds',
      'recycleAboveMib',
    ],
  ],
  ['Loading on demand', ['modelMemoryMib', 'unloadAfterSeconds']],
  ['Shared weights', ['weightCache', 'weightCacheMinMib', 'cacheDir', 'cacheSize']],
  ['Sizes', ['maxBodyBytes', 'maxJsonBytes', 'maxResponseBytes', 'memoryBudgetMib']],
  ['onnxruntime', ['graphOptimization', 'providers', 'gpus', 'warmUp', 'telemetry']],
  ['Logs', ['logLevel', 'accessLog']],
  ['Recording', ['record', 'recordMib', 'recordModels', 'recordRedact']],
]

const MIB = 1024 * 1024

/** The whole page. */
export function configurationPage(): string {
  return `${GENERATED}

# Configuration

Which settings does the server have, and which does one model have? This page lists all of them. All are optional.

A setting can be given in three ways:

| where | how | example |
| --- | --- | --- |
| command line | \`--flag value\`; booleans \`--flag\` and \`--no-flag\` | \`onnxd serve model.onnx --batch-size 8 --no-access-log\` |
| environment | \`ONNXD_…\`; booleans \`true\`, \`false\`, \`1\`, \`0\` | \`ONNXD_BATCH_SIZE=8 ONNXD_ACCESS_LOG=false\` |
| config file | YAML or JSON, one mapping; \`--config FILE\` or \`ONNXD_CONFIG=FILE\` | \`batchSize: 8\` |

If a setting is given more than once, the command line wins, then the environment, then the config file, then the default.
Lists are separated by commas on the command line and in the environment. In the config file they are YAML or JSON lists.

- A config file whose name ends in \`.properties\` is read as a [configuration of MMS or TorchServe](migrating.md#the-configuration-file).
- In a SageMaker container the [\`SAGEMAKER_…\` variables](sagemaker.md) count too. They have the lowest rank, just above the defaults.
- An unknown setting, or a value that does not fit (for example \`1.5\` workers), stops the start with exit code 2 and a message that
  names the setting.
- An unknown \`ONNXD_…\` variable does not stop the start. The log names it and the closest known setting.
- Kubernetes sets variables such as \`ONNXD_PORT\` for a service called \`onnxd\`. They are ignored, and the log lists them in one line.

\`onnxd help serve\` prints the same list of settings.

${sections()}

## One model

Some settings can differ from model to model. The first of these places that has a value wins:

1. a parameter of the registration (\`POST /models?…\`): \`handler\`, \`initial_workers\`, \`batch_size\`,
   \`max_batch_delay\` (milliseconds, or \`auto\`), \`join_batches\`, \`priority_levels\`, \`default_priority_level\`,
   \`response_timeout\`, \`startup_timeout\` (seconds);
2. \`model.json\` in the folder of the model, with the keys below;
3. the server setting of the same name;
4. the default.

\`model.json\` is optional. A model does not load if its \`model.json\` has an unknown key or a value that does not fit.
A key with the value \`null\` counts as absent.

Which models a \`model.json\` applies to:

- the \`.onnx\` file that it names as \`model\`;
- without \`model\`: the file \`model.onnx\`, or the only \`.onnx\` file of the folder;
- a numbered version folder (\`x/1/\`) without a \`model.json\` of its own uses \`x/model.json\`.

${modelTable()}
`
}

function sections(): string {
  const listed = new Set<string>(SECTIONS.flatMap(([, keys]) => keys))
  const others = Object.keys(ConfigSchema.properties).filter((key) => !listed.has(key))
  return [...SECTIONS, ['Other', others] as const]
    .filter(([, keys]) => keys.length > 0)
    .map(([title, keys]) => `## ${title}\n\n${settingsTable(keys)}`)
    .join('\n\n')
}

function settingsTable(keys: readonly string[]): string {
  const schemas = Object.entries<TSchema>(ConfigSchema.properties)
  const rows = keys
    .flatMap((key) => schemas.filter(([name]) => name === key))
    .map(([key, schema]) => [
      code(`--${flagName(key)}`),
      code(environmentName(key)),
      code(key),
      typeText(schema),
      defaultText(schema),
      schema.description ?? '',
    ])
  return table(['Flag', 'Environment', 'Key', 'Type', 'Default', 'Meaning'], rows)
}

function modelTable(): string {
  const rows = Object.entries<TSchema>(ModelSettings.properties).flatMap(([key, schema]) =>
    schema.type === 'object' && 'properties' in schema
      ? Object.entries<TSchema>(schema.properties).map(([name, inner]) =>
          modelRow(`${key}.${name}`, inner),
        )
      : [modelRow(key, schema)],
  )
  return table(['Key', 'Type', 'Meaning'], rows)
}

function modelRow(key: string, schema: TSchema): string[] {
  const sameName =
    key in ConfigSchema.properties ? `Overrides the server setting ${code(key)}.` : ''
  return [code(key), typeText(schema), [schema.description, sameName].filter(Boolean).join(' ')]
}

/** The type as text: `integer, 0 to 65535`, `list of texts`, `cpu or cuda`. */
function typeText(schema: TSchema): string {
  if ('enum' in schema && Array.isArray(schema.enum))
    return schema.enum.map((value) => code(String(value))).join(', ')
  if (KindGuard.IsUnion(schema)) return schema.anyOf.map(typeText).join(', or ')
  if (KindGuard.IsLiteral(schema)) return code(String(schema.const))
  switch (schema.type) {
    case 'integer':
      return `integer${rangeText(schema)}`
    case 'number':
      return `number${rangeText(schema)}`
    case 'array':
      return `list of ${typeText(schema.items).replace(/^\w+/, '$&s')}`
    case 'string':
      return 'text'
    default:
      return String(schema.type)
  }
}

function rangeText({ minimum, maximum, exclusiveMinimum }: TSchema): string {
  if (exclusiveMinimum !== undefined) return ` above ${exclusiveMinimum}`
  // The largest 32-bit number means that there is no maximum.
  if (maximum === undefined || maximum === 2 ** 31 - 1)
    return minimum === undefined ? '' : ` from ${minimum}`
  return `, ${minimum} to ${maximum}`
}

function defaultText({ default: value }: TSchema): string {
  if (typeof value === 'number' && value >= MIB && value % MIB === 0)
    return `${code(String(value))} (${value / MIB} MiB)`
  if (Array.isArray(value)) return value.length === 0 ? 'none' : code(value.join(','))
  return value === '' ? 'none' : code(String(value))
}
