/** Commands that divide, move and copy the requests of a model among its versions. */
import type { CommandSpec } from './command-spec.ts'
import { TOKEN, URL_FLAG } from './server-flags.ts'

/** In the order of the help. */
export const TRAFFIC_COMMANDS: Readonly<Record<string, CommandSpec>> = {
  routing: {
    usage: 'routing MODEL',
    summary: 'show labels of versions, and their shares of the requests',
    arity: [1, 1],
    flags: [URL_FLAG],
    details: TOKEN,
    examples: ['routing iris', 'routing iris --json'],
    load: async () => (await import('../client/routing.ts')).showRouting,
  },
  rollout: {
    usage: 'rollout MODEL [--to VERSION]',
    summary: 'move requests to a new version step by step',
    arity: [1, 1],
    flags: [
      URL_FLAG,
      { name: 'to', value: 'VERSION', text: 'Begin a rollout to this version.' },
      {
        name: 'steps',
        value: 'LIST',
        text: 'Shares of the new version in percent. Default 1,5,25,100.',
      },
      { name: 'hold', value: 'SECONDS', text: 'Minimum duration of a step. Default 60.' },
      {
        name: 'max-error-rate',
        value: 'SHARE',
        text: 'By how much the share of failed requests may exceed that of the present version. Default 0.01.',
      },
      {
        name: 'max-p99-ratio',
        value: 'RATIO',
        text: 'Limit for the 99th percentile of the response times, as a multiple of that of the present version; 0 does not compare them. Default 2.',
      },
      {
        name: 'min-agreement',
        value: 'SHARE',
        text: 'Minimum share of responses that agree with the present version. It needs shadow traffic.',
      },
      { name: 'watch', short: 'w', text: 'Print each event, until the rollout ends.' },
      { name: 'pause', text: 'Stay at the present step. A bad version is still rolled back.' },
      { name: 'resume', text: 'Go on after a pause.' },
      { name: 'abort', text: 'End the rollout and restore the routing before it.' },
    ],
    details: `Without a flag it shows the rollout that runs, or the last one. With --watch, the exit code is 1 if the version is not promoted. ${TOKEN}`,
    examples: ['rollout iris --to 2 --steps 5,50,100', 'rollout iris', 'rollout iris --abort'],
    load: async () => (await import('../client/rollout.ts')).rollOut,
  },
  shadow: {
    usage: 'shadow MODEL [--to VERSION [--share N] | --off]',
    summary: 'copy requests to another version and compare the responses',
    arity: [1, 1],
    flags: [
      URL_FLAG,
      { name: 'to', value: 'VERSION', text: 'Version that gets copies from now on.' },
      { name: 'share', value: 'N', text: 'Share of the requests, above 0 to 1. Default 1.' },
      { name: 'off', text: 'Copy no more requests.' },
    ],
    details: `Without --to or --off it shows how the responses differ. Clients do not wait for copies. ${TOKEN}`,
    examples: ['shadow iris --to 2 --share 0.1', 'shadow iris', 'shadow iris --off'],
    load: async () => (await import('../client/shadow.ts')).shadowModel,
  },
}
