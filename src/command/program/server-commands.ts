/** Commands that talk to a running server. */
import { REQUEST_FLAGS } from './command-spec.ts'
import type { CommandSpec } from './command-spec.ts'
import { INFERENCE_URL_FLAG, MODEL, TOKEN, URL_FLAG } from './server-flags.ts'
import { TRAFFIC_COMMANDS } from './traffic-commands.ts'

/** In the order of the help. */
export const WITH_SERVER: Readonly<Record<string, CommandSpec>> = {
  ps: {
    usage: 'ps',
    summary: 'show workers: process, status, memory, restarts',
    arity: [0, 0],
    flags: [URL_FLAG],
    details: TOKEN,
    examples: ['ps', 'ps --json'],
    load: async () => (await import('../client/list.ts')).listWorkers,
  },
  list: {
    usage: 'list',
    summary: 'show models: versions, status, workers, loads and failures',
    arity: [0, 0],
    flags: [URL_FLAG],
    details: `The star marks the default version. BATCH is the maximum number of requests in one batch. ${TOKEN}`,
    examples: ['list', 'list --url http://models.example:8081'],
    load: async () => (await import('../client/list.ts')).listModels,
  },
  show: {
    usage: 'show MODEL',
    summary: 'show inputs, outputs, settings and workers of a model',
    arity: [1, 1],
    flags: [URL_FLAG],
    details: `${MODEL} ${TOKEN}`,
    examples: ['show iris', 'show iris:2'],
    load: async () => (await import('../client/show.ts')).showModel,
  },
  logs: {
    usage: 'logs [MODEL] [--follow]',
    summary: 'show the last lines of the log',
    arity: [0, 1],
    flags: [
      URL_FLAG,
      { name: 'follow', short: 'f', text: 'Show new lines too, until Ctrl-C.' },
      { name: 'lines', short: 'n', value: 'N', text: 'Number of lines. Default 100.' },
      { name: 'level', short: 'l', value: 'LEVEL', text: 'Minimum level, for example warn.' },
    ],
    details: `The server keeps the last 1 000 lines about requests and the last 1 000 others. ${TOKEN}`,
    examples: ['logs', 'logs iris --level warn', 'logs -f'],
    load: async () => (await import('../client/logs.ts')).showLog,
  },
  load: {
    usage: 'load FILE|URL|NAME',
    summary: 'upload a file, or register a URL or an entry of the model store',
    arity: [1, 1],
    flags: [
      URL_FLAG,
      { name: 'name', short: 'n', value: 'NAME', text: 'Name to serve the model under.' },
      { name: 'model-version', value: 'VERSION', text: 'Version to serve it under.' },
      { name: 'workers', short: 'w', value: 'N', text: 'Number of workers.' },
      {
        name: 'set',
        value: 'PARAMETER=VALUE',
        isRepeatable: true,
        text: 'Another parameter of the registration, such as batch_size=8.',
      },
    ],
    details: `A file on this machine is uploaded. A folder is registered by its path, which the server must allow (--allow-local-paths). ${TOKEN}`,
    examples: ['load model.onnx', 'load https://models.example/a.onnx --name a', 'load iris -w 2'],
    load: async () => (await import('../client/load.ts')).loadModel,
  },
  scale: {
    usage: 'scale MODEL N [MAX]',
    summary: 'change the number of workers of a model',
    arity: [2, 3],
    flags: [URL_FLAG],
    details: `${MODEL} ${TOKEN}`,
    examples: ['scale iris 4'],
    load: async () => (await import('../client/change.ts')).scaleModel,
  },
  default: {
    usage: 'default MODEL VERSION',
    summary: 'make a version the default one',
    arity: [2, 2],
    flags: [URL_FLAG],
    details: TOKEN,
    examples: ['default iris 2'],
    load: async () => (await import('../client/change.ts')).setDefault,
  },
  ...TRAFFIC_COMMANDS,
  rm: {
    usage: 'rm MODEL…',
    summary: 'unregister models after their accepted requests',
    arity: [1, 100],
    flags: [URL_FLAG],
    details: `MODEL removes all versions, MODEL:VERSION one of them. Files of the store stay. ${TOKEN}`,
    examples: ['rm iris', 'rm iris:1'],
    load: async () => (await import('../client/change.ts')).removeModels,
  },
  profile: {
    usage: 'profile MODEL [-n RUNS] [-s SECONDS]',
    summary: 'measure which operators of a model take the time',
    arity: [1, 1],
    flags: [
      URL_FLAG,
      { name: 'runs', short: 'n', value: 'N', text: 'Runs to measure. Default 200.' },
      {
        name: 'seconds',
        short: 's',
        value: 'N',
        text: 'How long to wait for live requests; then the ones that came are run again. Default 10.',
      },
    ],
    details: `The server starts one more worker and gives it copies of live requests. The workers that serve are not changed. ${MODEL} ${TOKEN}`,
    examples: ['profile iris', 'profile iris:2 -n 1000'],
    load: async () => (await import('../client/profile.ts')).profileModel,
  },
  replay: {
    usage: 'replay FILE --against MODEL[@VERSION]|PATH',
    summary: 'send recorded requests to a version, compare responses',
    arity: [1, 1],
    takesSettings: true,
    flags: [
      {
        name: 'against',
        value: 'MODEL',
        text: 'What gets the requests: a model of the server, MODEL@VERSION, or the path of a model, which the command loads.',
      },
      INFERENCE_URL_FLAG,
      { name: 'model', value: 'NAME', text: 'Recorded model whose requests are sent.' },
      {
        name: 'rate',
        value: 'RATE',
        text: 'max, original (with the pauses of the recording) or a number of requests a second. Default max.',
      },
      {
        name: 'connections',
        value: 'N',
        text: 'With the rate max: number of connections, each sends its next request after a response. Default 4.',
      },
      { name: 'limit', value: 'N', text: 'Send only the newest N requests.' },
      {
        name: 'tolerance',
        value: 'X',
        text: 'Allowed difference of floats, absolute and relative. Default: that of their datatype.',
      },
    ],
    details:
      'FILE was written by onnxd serve --record. The exit code is 1 if a response differs. If the server has tokens for inference, set ONNXD_INFERENCE_TOKEN. Settings of the server that loads a PATH follow after --.',
    examples: [
      'replay requests.rec --against iris@2',
      'replay requests.rec --against iris-new.onnx --rate 50',
    ],
    load: async () => (await import('../client/replay/replay.ts')).replayRequests,
  },
  bench: {
    usage: 'bench MODEL [-i FILE|-] [-c N | -r RATE]',
    summary: 'measure throughput and latency of a running server',
    arity: [1, 1],
    flags: [
      INFERENCE_URL_FLAG,
      ...REQUEST_FLAGS,
      { name: 'requests', value: 'FILE', text: 'Send the requests of a recording in turn.' },
      {
        name: 'clients',
        short: 'c',
        value: 'N',
        text: 'Closed loop: N clients, each sends its next request after a response. Default 4.',
      },
      {
        name: 'rate',
        short: 'r',
        value: 'RATE',
        text: 'Open loop: RATE requests a second, whether or not responses arrive.',
      },
      { name: 'seconds', short: 's', value: 'N', text: 'Duration of the measurement. Default 10.' },
      { name: 'warm-up', value: 'N', text: 'Seconds before the measurement. Default 1.' },
    ],
    details:
      'Without -i or -d it sends zeros that fit the inputs of the model. In an open loop the latency counts from the time at which a request was due. If the server has tokens for inference, set ONNXD_INFERENCE_TOKEN.',
    examples: ['bench iris', 'bench digits -i 7.png -c 16', 'bench iris -r 500 -s 30'],
    load: async () => (await import('../client/bench/bench.ts')).benchModel,
  },
}
