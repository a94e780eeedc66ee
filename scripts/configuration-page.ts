/** `docs/configuration.md`: every setting of the server and of `model.json`, out of their schemas. */
import { KindGuard } from '@sinclair/typebox'
import type { TSchema } from '@sinclair/typebox'
import { ConfigSchema, environmentName, flagName } from '../src/config.ts'
import type { Config } from '../src/config.ts'
import { ModelSettings } from '../src/model-settings.ts'
import { GENERATED, code, table } from './markdown.ts'

/** The sections of the page. Settings that are in none come last, under "Other". */
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
  ['Models', ['modelStore', 'load', 'stateDir', 'allowLocalPaths', 'allowHandlers', 'python']],
  [
    'Uploads and downloads',
    ['allowedOrigins', 'allowPrivateAddresses', 'maxModelBytes', 'downloadTimeout'],
  ],
  [
    'Workers and batches',
    [
      'workers',
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
  ['Sizes', ['maxBodyBytes', 'maxJsonBytes', 'maxResponseBytes', 'memoryBudgetMib']],
  ['onnxruntime', ['graphOptimization', 'providers', 'gpus', 'warmUp', 'telemetry']],
  ['Logs', ['logLevel', 'accessLog']],
]

const MIB = 1024 * 1024

/** The whole page. */
export function configurationPage(): string {
  return `${GENERATED}

# Configuration

Nothing has to be configured. What can be is one flat list of settings, and each setting has three spellings:

| where | how | example |
| --- | --- | --- |
| command line | \`--flag value\`; booleans \`--flag\` and \`--no-flag\` | \`onnxd serve model.onnx --batch-size 8 --no-access-log\` |
| environment | \`ONNXD_…\`; booleans \`true\`, \`false\`, \`1\`, \`0\` | \`ONNXD_BATCH_SIZE=8 ONNXD_ACCESS_LOG=false\` |
| config file | YAML or JSON, one mapping; \`--config FILE\` or \`ONNXD_CONFIG=FILE\` | \`batchSize: 8\` |

A config file whose name ends in \`.properties\` is one of MMS or TorchServe: [what becomes of it](migrating.md#the-configuration-file).
In a SageMaker container its \`SAGEMAKER_…\` variables count as well, below all others: [which](migrating.md#from-a-sagemaker-container).

The command line wins over the environment, the environment over the file, the file over the default. Lists are
separated by commas on the command line and in the environment, and are lists in the file. A setting that does not
exist, or a value that does not fit (\`1.5\` workers), ends the program with exit code 2 and a message that names it.
A variable that begins with \`ONNXD_\` and is no setting does not end it: the start names it, and the setting that was
probably meant. The variables that Kubernetes sets for services called \`onnxd…\` are listed in one line.

\`onnxd help serve\` prints the same list.

${sections()}

## One model

Some settings can differ from model to model. The first of these that names a value decides:

1. a parameter of the registration (\`POST /models?…\`): \`handler\`, \`initial_workers\`, \`batch_size\`,
   \`max_batch_delay\` (milliseconds, or \`auto\`), \`join_batches\`, \`priority_levels\`, \`default_priority_level\`,
   \`response_timeout\`, \`startup_timeout\` (seconds);
2. \`model.json\` beside the model, every key below;
3. the server's setting of the same name;
4. its default.

\`model.json\` lies in the model's folder. It may be absent; an unknown key or a value that does not fit makes the
model invalid, and a key that is \`null\` is as if absent.
For a bare \`x.onnx\` file it counts when it names that file as \`model\`, or when the file is called
\`model.onnx\` or is the only \`.onnx\` file beside it. A numbered version folder (\`x/1/\`) without one uses \`x/model.json\`.

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
  const sameName = key in ConfigSchema.properties ? `Instead of the server’s ${code(key)}.` : ''
  return [code(key), typeText(schema), [schema.description, sameName].filter(Boolean).join(' ')]
}

/** `integer, 0 to 65535`, `list of texts`, `cpu or cuda`. */
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
  // The largest 32-bit number stands for "no limit of its own".
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
