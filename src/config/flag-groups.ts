/** The settings by subject, for the help. */
import { ConfigSchema } from './config.ts'

type Key = keyof typeof ConfigSchema.properties

/** Settings of one subject. */
export interface FlagGroup {
  readonly title: string
  readonly keys: readonly Key[]
}

/** A setting that is in no group stands in the last one. */
const GROUPS: Readonly<Record<string, readonly Key[]>> = {
  Basics: [
    'host',
    'port',
    'modelStore',
    'load',
    'stateDir',
    'workers',
    'threads',
    'httpProcesses',
    'logLevel',
  ],
  Management: [
    'managementHost',
    'managementPort',
    'managementToken',
    'allowedHosts',
    'insecureManagement',
    'exposeRepository',
    'lenientParameters',
  ],
  Access: [
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
  'Batches and queues': [
    'batchSize',
    'maxBatchDelay',
    'joinBatches',
    'queueSize',
    'queueBytes',
    'queueTimeout',
    'responseTimeout',
    'priorityLevels',
    'defaultPriorityLevel',
    'overloadStatus',
    'crashQuarantine',
  ],
  'Workers and memory': [
    'spareWorkers',
    'loadTimeout',
    'modelMemoryMib',
    'unloadAfterSeconds',
    'workerHeapMib',
    'workerMemoryMib',
    'memoryBudgetMib',
    'checkMemory',
    'recycleAfterRequests',
    'recycleAfterSeconds',
    'recycleAboveMib',
    'weightCache',
    'weightCacheMinMib',
    'cacheDir',
    'cacheSize',
  ],
  Recording: ['record', 'recordMib', 'recordModels', 'recordRedact'],
  onnxruntime: ['graphOptimization', 'providers', 'gpus', 'warmUp', 'telemetry'],
  'Where models come from': [
    'allowHandlers',
    'python',
    'metricsConfig',
    'allowLocalPaths',
    'allowedOrigins',
    'allowPrivateAddresses',
    'watch',
    'maxModelBytes',
    'downloadTimeout',
  ],
  'Isolation of workers': ['workerUser', 'egress', 'workerOpenFiles', 'workerEnvironment'],
}

/** Returns the groups with all settings, each once. */
export function flagGroups(): FlagGroup[] {
  const grouped = new Set(Object.values(GROUPS).flat())
  const others = (Object.keys(ConfigSchema.properties) as Key[]).filter((key) => !grouped.has(key))
  return [
    ...Object.entries(GROUPS).map(([title, keys]) => ({ title, keys })),
    { title: 'HTTP and limits', keys: others },
  ]
}
