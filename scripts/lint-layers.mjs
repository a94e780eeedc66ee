/**
 * Which file may import which, as lint rules: layers from the top down, and rooms that other code
 * enters through certain files (doors) only. See docs/architecture.md.
 */

/** For each room, the files that code outside the room may import. Folders are below `src`. */
const DOORS = {
  command: ['serve.ts', 'cache.ts', 'output.ts', 'log-format.ts'],
  'command/client': [
    'profile.ts',
    'list.ts',
    'show.ts',
    'shadow.ts',
    'logs.ts',
    'load.ts',
    'change.ts',
    'routing.ts',
    'rollout.ts',
  ],
  'command/client/bench': ['bench.ts'],
  'command/client/recorded': ['rewrite.ts', 'selection.ts', 'sender.ts'],
  'command/client/replay': ['replay.ts'],
  'command/offline': [
    'run.ts',
    'inspect.ts',
    'check.ts',
    'init.ts',
    'private-server.ts',
    'pipeline-steps.ts',
  ],
  'command/offline/archive': ['archive.ts'],
  'command/offline/doctor': ['doctor.ts'],
  'command/offline/model-types': ['types.ts'],
  'command/program': ['run-command.ts', 'outcome.ts', 'request-data.ts'],
  comparison: ['compare.ts'],
  'comparison/decoding': ['decode.ts', 'json.ts'],
  config: ['config.ts', 'parse.ts', 'flag-help.ts'],
  'config/import': ['properties.ts', 'sagemaker.ts'],
  'models/archives': ['extract.ts', 'private-file.ts'],
  'models/deep-check': ['deep-check.ts', 'queue.ts'],
  'models/loading': [
    'loads.ts',
    'load-progress.ts',
    'model-loader.ts',
    'failures.ts',
    'startup.ts',
  ],
  'models/metrics': [
    'page.ts',
    'counts.ts',
    'causes.ts',
    'version-metrics.ts',
    'handler-metrics.ts',
    'handler-line.ts',
  ],
  'models/model-calls': ['answer-calls.ts'],
  'models/model-index': ['model-index.ts', 'metadata-memory.ts'],
  'models/scheduling': ['pool.ts', 'pool-options.ts', 'prediction.ts', 'predict-options.ts'],
  'models/pipelines': ['pipeline-metadata.ts', 'step-facts.ts', 'missing-step.ts'],
  'models/profiling': ['profiler.ts'],
  'models/rollout': [
    'model-rollouts.ts',
    'rollout.ts',
    'plan.ts',
    'reporter.ts',
    'shown-rollout.ts',
    'metrics.ts',
  ],
  'models/routing': ['model-routing.ts', 'routing.ts', 'choose-version.ts'],
  'models/recorder': ['recorder.ts'],
  'models/shadow': [
    'metrics.ts',
    'model-shadows.ts',
    'shadow-settings.ts',
    'observed-prediction.ts',
    'report.ts',
    'reporter.ts',
  ],
  'models/residency': ['model-memory.ts', 'on-demand.ts'],
  'models/scheduling/slots': ['slot.ts', 'slot-set.ts', 'scaler.ts', 'recycler.ts', 'backoff.ts'],
  'models/scheduling/queue': ['job.ts', 'queued-job.ts', 'job-queue.ts'],
  'models/sources': [
    'prepare.ts',
    'model-name.ts',
    'location.ts',
    'file-check.ts',
    'external-data.ts',
    'model-file-list.ts',
  ],
  'models/sources/store': ['listing.ts', 'names.ts', 'check.ts'],
  'models/sources/config-pbtxt': [
    'model-config.ts',
    'config-report.ts',
    'file-report.ts',
    'tensor-reshapes.ts',
    'protobuf-text.ts',
  ],
  'models/state': ['persistence.ts', 'state-file.ts'],
  'models/transfers': [
    'model-files.ts',
    'download-url.ts',
    'file-name.ts',
    'incoming-models.ts',
    'transfers.ts',
    'upload.ts',
  ],
  'models/triton': ['repository.ts', 'model-config.ts', 'model-statistics.ts'],
  'models/weights': [
    'weight-cache.ts',
    'entry-state.ts',
    'cache-folder.ts',
    'cache-path.ts',
    'entry-list.ts',
  ],
  'models/workers': [
    'worker-factory.ts',
    'memory-guard.ts',
    'describe-handler.ts',
    'handler-headers.ts',
    'python-input.ts',
  ],
  'openapi/predict': ['predict-schemas.ts'],
  'routes/console': ['console-routes.ts', 'live-process.ts'],
  'routes/documents': ['api-documents.ts', 'docs-page.ts', 'openapi.ts'],
  'routes/grpc': ['listener.ts'],
  'routes/http/access': ['authorize.ts', 'caller.ts', 'protect.ts', 'server-access.ts', 'tls.ts'],
  'routes/inference': [
    'relay.ts',
    'explaining.ts',
    'choose-version.ts',
    'text-member.ts',
    'reject-early.ts',
    'request-parameters.ts',
    'predict-options.ts',
    'request-times.ts',
  ],
  'routes/pages': ['page-routes.ts'],
  'routes/management': ['models.ts', 'parameters.ts', 'recent-log.ts', 'list-entries.ts'],
  'routes/recorded-requests': ['request-recording.ts'],
  'routes/text': ['text-routes.ts'],
  'routes/tracing': ['tracing.ts'],
  shards: ['shard-set.ts'],
  'worker/host/calls': ['call-channel.ts'],
  'worker/host/child-process': [
    'child.ts',
    'worker-process.ts',
    'handed-over-process.ts',
    'stopped-process.ts',
    'error-log.ts',
    'line-reader.ts',
  ],
  'worker/host/python': ['python-worker.ts', 'python-installation.ts', 'metrics-file.ts'],
  'worker/process/custom': [
    'model.ts',
    'server-calls.ts',
    'prediction-exception.ts',
    'json-input.ts',
  ],
  'worker/process/custom/modules': ['install-hooks.ts', 'import-error.ts'],
  'worker/process/custom/onnx-model': [
    'open-model.ts',
    'handler-model.ts',
    'built-in-steps.ts',
    'handler-tensors.ts',
  ],
  'worker/process/custom/steps': ['handler-class.ts', 'step-model.ts'],
  'worker/process/loop': [
    'service.ts',
    'body-reader.ts',
    'compared-model.ts',
    'end-signals.ts',
    'replies.ts',
  ],
  'worker/process/custom/streams': ['find-streams.ts', 'stream-reply.ts'],
  'worker/process/onnx/batching': ['batcher.ts', 'verdict.ts'],
  'worker/process/onnx/batching/rules': ['table.ts'],
  'worker/process/onnx/graph': [
    'graph.ts',
    'graph-reader.ts',
    'message-edit.ts',
    'output-plan.ts',
    'class-list.ts',
    'value-info.ts',
    'class-sources.ts',
  ],
  'worker/process/onnx/image': ['codec.ts', 'classes.ts', 'placement.ts', 'decode.ts'],
  'worker/process/onnx/kserve-v1': ['codec.ts', 'instances.ts', 'outputs.ts'],
  'worker/process/onnx/oip': ['codec.ts', 'named-tensors.ts', 'raw-tensors.ts'],
  'worker/process/onnx/oip/grpc-messages': ['codec.ts', 'named.ts'],
  'worker/process/onnx/profile': ['answer.ts'],
  'worker/process/onnx/raw': ['raw-input.ts', 'foreign-bytes.ts'],
  'worker/process/onnx/runtime': [
    'load-file.ts',
    'session.ts',
    'mapped-weights.ts',
    'warm-up.ts',
    'prepare-runtime.ts',
  ],
  'worker/process/onnx/vision': ['task.ts', 'call.ts'],
  'worker/process/onnx/table-responses': ['call.ts'],
  'worker/process/onnx/tables': ['codec.ts'],
  'worker/process/pipeline': ['model.ts'],
  'worker/process/start': [
    'run-worker.ts',
    'listener.ts',
    'loader.ts',
    'parent-watch.ts',
    'process-group.ts',
    'settings.ts',
  ],
  'worker/process/tasks': ['text-model.ts', 'text-folder.ts', 'text-inputs.ts'],
  'worker/process/tasks/dialects': ['codec.ts', 'protocol.ts'],
  'worker/process/tasks/tokenizer': ['tokenizer.ts'],
  'worker/process/weights': ['job.ts'],
  'worker/wire': ['decode.ts', 'encode.ts', 'messages.ts'],
}

/**
 * These rules can apply to all files, because a file of a room never names its own room in an
 * import.
 */
const enterByDoors = Object.entries(DOORS).map(([room, doors]) => {
  const name = room.split('/').at(-1)
  return {
    group: [`**/${name}/*`, ...doors.map((door) => `!**/${name}/${door}`)],
    message: `Rooms: from outside, src/${room} is entered by ${doors.join(', ')} only.`,
  }
})

const noNativeCode = {
  // The front-end must survive crashes of native code.
  regex: '^(onnxruntime-|sharp$)',
  message: 'Native libraries are loaded by the worker process only.',
}
const noHttp = { regex: '^@?fastify', message: 'Layers: only routes know HTTP.' }
const START = '(cli|server|listen-all|app)\\.ts$|command/|shards/'
const onlyDown = (pattern) => ({
  regex: `(^|/)(${pattern})`,
  message: 'Layers: imports go down only.',
})
const otherProgram = {
  regex: '(^|/)worker/process/',
  message: 'Layers: the worker process is another program.',
}

/** The layers from the top: the files of each, and the imports that are forbidden for them. */
const LAYERS = [
  {
    files: ['src/{cli,server,listen-all,app}.ts', 'src/{command,shards}/**'],
    forbidden: [noNativeCode, otherProgram],
  },
  {
    files: ['src/routes/**'],
    forbidden: [
      onlyDown(START),
      { regex: '(^|/)worker/', message: 'Layers: a route calls models, never workers.' },
      noNativeCode,
    ],
  },
  {
    files: ['src/pages/**'],
    forbidden: [
      { regex: '^node:', message: 'Layers: a page runs in a browser.' },
      noHttp,
      noNativeCode,
      {
        regex: '(^|/)(config|contract|model-folder|routes|openapi|models|worker|command)/',
        message: 'Layers: a page knows the server by its HTTP API only.',
      },
    ],
  },
  {
    // This layer builds documents from schemas and metadata; the routes send them.
    files: ['src/openapi/**'],
    forbidden: [
      onlyDown(`${START}|routes/`),
      {
        regex: '(^|/)worker/',
        message: 'Layers: a document is about models, never about workers.',
      },
      noHttp,
      noNativeCode,
    ],
  },
  {
    files: ['src/models/**'],
    forbidden: [onlyDown(`${START}|routes/|openapi/`), otherProgram, noHttp, noNativeCode],
  },
  {
    files: ['src/worker/host/**'],
    forbidden: [
      onlyDown(`${START}|routes/|openapi/|models/`),
      { ...otherProgram, regex: '(^|/)process/' },
      noHttp,
      noNativeCode,
    ],
  },
  {
    // Modules that run in the process of a handler or of its test.
    files: ['src/handler/**', 'src/testing/**'],
    forbidden: [
      {
        regex: `(^|/)(${START}|config/|routes/|openapi/|models/|host/)`,
        message: 'Layers: a handler and its test know nothing of the server.',
      },
      noHttp,
    ],
  },
  {
    files: ['src/worker/process/**'],
    forbidden: [
      {
        regex: `(^|/)(${START}|config/|routes/|openapi/|models/|host/)`,
        message: 'Layers: the worker process knows nothing of the server.',
      },
      noHttp,
    ],
  },
  {
    // Both processes use these files, so they must not depend on either of them.
    files: [
      'src/*.ts',
      'src/{comparison,config,contract,formats,model-folder,recording,system}/**',
    ],
    excludeFiles: ['src/{cli,server,listen-all,app}.ts'],
    forbidden: [
      {
        regex: `(^|/)(${START}|routes/|openapi/|models/|worker/)`,
        message: 'Layers: a leaf imports leaves only.',
      },
      { ...noHttp, message: 'Layers: a leaf is for both processes.' },
      { ...noNativeCode, message: 'Layers: a leaf is for both processes.' },
    ],
  },
]

const onlyBytes = {
  files: ['src/worker/wire/**'],
  rules: {
    'no-restricted-imports': [
      'error',
      {
        patterns: [
          {
            group: ['**', '!./**', '!../../errors.ts', '!node:assert/strict', '!node:buffer'],
            message: 'Layers: the codec knows bytes and errors, no socket, no file, no library.',
          },
        ],
      },
    ],
  },
}

/** Entries for `overrides` in the lint configuration. */
export const layers = [
  ...LAYERS.map(({ forbidden, ...files }) => ({
    ...files,
    rules: {
      'no-restricted-imports': ['error', { patterns: [...forbidden, ...enterByDoors] }],
    },
  })),
  onlyBytes,
]
