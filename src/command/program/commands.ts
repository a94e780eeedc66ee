/** The table of all commands. */
import { ARCHIVE } from './archive-command.ts'
import { REQUEST_FLAGS } from './command-spec.ts'
import type { CommandSpec, FlagSpec } from './command-spec.ts'
import { WITH_SERVER } from './server-commands.ts'

const SETTINGS =
  'Settings of the server that loads the model follow after --; see onnxd help serve.'

const WITHOUT_SERVER: Readonly<Record<string, CommandSpec>> = {
  run: {
    usage: 'run MODEL [-i FILE|-] [-d TEXT]',
    summary: 'load a model, send it one request, print the response',
    arity: [1, 1],
    takesSettings: true,
    flags: [
      ...REQUEST_FLAGS,
      { name: 'output', short: 'o', value: 'FILE', text: 'Write the response to this file.' },
    ],
    details: `The request is JSON, CSV, NumPy (.npy), an image, text or raw bytes. ${SETTINGS}`,
    examples: [
      'run examples/digits -i examples/digits/samples/7.png',
      "run model.onnx -d '[[1,2]]'",
    ],
    load: async () => (await import('../offline/run.ts')).runModel,
  },
  inspect: {
    usage: 'inspect MODEL',
    summary: 'show inputs, outputs, operators and a request that works',
    arity: [1, 1],
    takesSettings: true,
    flags: [{ name: 'no-load', text: 'Read the file only; do not load the model.' }],
    details: SETTINGS,
    examples: ['inspect examples/iris', 'inspect model.onnx --json'],
    load: async () => (await import('../offline/inspect.ts')).inspectModel,
  },
  check: {
    usage: 'check FILE|DIR…',
    summary: 'find out whether models and configurations can be served',
    arity: [1, 1000],
    takesSettings: true,
    flags: [
      { name: 'no-load', text: 'Read the files only; do not load models.' },
      {
        name: 'deep',
        text: 'Run each model in processes of its own: compare graph optimization, check batching, measure threads, batches and memory, suggest settings.',
      },
      {
        name: 'timeout',
        value: 'SECONDS',
        text: 'With --deep: maximum time for each model. Default 60.',
      },
      ...REQUEST_FLAGS,
    ],
    details: `Checks models, model stores, config.properties, config.pbtxt, model.json and settings in YAML. The exit code is 1 if something cannot be served, or gives wrong responses. --deep sends generated requests, or the one of -i or -d. ${SETTINGS}`,
    examples: [
      'check models/',
      'check --deep iris.onnx',
      'check config.properties',
      'check handler/ -- --allow-handlers',
    ],
    load: async () => (await import('../offline/check.ts')).checkFiles,
  },
  init: {
    usage: 'init [DIR]',
    summary: 'write a model.json for a model, with an explanation',
    arity: [0, 1],
    flags: [{ name: 'force', text: 'Replace a model.json that exists.' }],
    details: 'DIR is the folder of the model; default: the current folder.',
    examples: ['init models/flowers'],
    load: async () => (await import('../offline/init.ts')).initModel,
  },
  types: {
    usage: 'types MODEL',
    summary: 'write the type of a model for handlers in TypeScript',
    arity: [1, 1],
    takesSettings: true,
    flags: [
      {
        name: 'output',
        short: 'o',
        value: 'FILE',
        text: 'Write to this file; - prints. Default: model.d.ts beside the model.',
      },
    ],
    details: `Loads the model with the built-in handler. ${SETTINGS}`,
    examples: ['types examples/iris', 'types model.onnx -o -'],
    load: async () => (await import('../offline/model-types/types.ts')).writeTypes,
  },
  archive: ARCHIVE,
  doctor: {
    usage: 'doctor',
    summary: 'check this machine: Node, onnxruntime, memory, limits, ports',
    arity: [0, 0],
    takesSettings: true,
    flags: [],
    details: 'The exit code is 1 if a check fails. Settings of the server follow after --.',
    examples: ['doctor', 'doctor -- --port 9000'],
    load: async () => (await import('../offline/doctor/doctor.ts')).examineMachine,
  },
}

const OTHERS: Readonly<Record<string, CommandSpec>> = {
  completion: {
    usage: 'completion bash|zsh|fish',
    summary: 'print completions for a shell',
    arity: [1, 1],
    flags: [],
    details:
      'bash: source <(onnxd completion bash). zsh: the same. fish: onnxd completion fish | source.',
    examples: ['completion bash > ~/.local/share/bash-completion/completions/onnxd'],
    load: async () => (await import('./completion.ts')).printCompletion,
  },
}

/** Commands with their own code to read arguments; only for help and completion. */
export const SERVE = {
  serve: { usage: 'serve [MODEL…]', summary: 'serve models over HTTP; also: onnxd MODEL…' },
  cache: { usage: 'cache list|clear', summary: 'show or remove cached weights' },
} as const

/** Commands by group, in the order of the help. */
export const GROUPS: readonly [title: string, commands: Readonly<Record<string, CommandSpec>>][] = [
  ['Without a server', WITHOUT_SERVER],
  ['A running server', WITH_SERVER],
  ['Others', OTHERS],
]

/** All commands of {@link GROUPS}. */
export const COMMANDS: Readonly<Record<string, CommandSpec>> = {
  ...WITHOUT_SERVER,
  ...WITH_SERVER,
  ...OTHERS,
}

/** The names that can follow `onnxd`. */
export const COMMAND_NAMES: readonly string[] = [
  ...Object.keys(SERVE),
  ...Object.keys(COMMANDS),
  'version',
  'help',
]

/** Flags of every command. */
export const COMMON_FLAGS: readonly FlagSpec[] = [
  { name: 'json', text: 'Print JSON for programs.' },
  { name: 'help', short: 'h', text: 'Show this help.' },
]
