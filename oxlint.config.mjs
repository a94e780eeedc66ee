/** Lint: `npm run lint`. */
import { layers } from './scripts/lint-layers.mjs'

export default {
  plugins: ['eslint', 'typescript', 'unicorn', 'oxc', 'import', 'promise', 'node'],
  options: { typeAware: true, denyWarnings: true, reportUnusedDisableDirectives: 'error' },
  categories: { correctness: 'error', suspicious: 'error' },
  env: { node: true, es2023: true },
  ignorePatterns: ['node_modules/', 'dist/', 'build/', 'coverage/'],
  rules: {
    // Promises: each one is awaited, returned or voided on purpose. `node:test` reports through its runner.
    'typescript/no-floating-promises': [
      'error',
      {
        allowForKnownSafeCalls: [
          { from: 'package', name: ['test', 'it', 'describe', 'suite'], package: 'node:test' },
        ],
      },
    ],
    'typescript/no-misused-promises': 'error',
    'typescript/await-thenable': 'error',
    'typescript/return-await': ['error', 'in-try-catch'],
    'typescript/prefer-promise-reject-errors': 'error',
    'typescript/only-throw-error': 'error',
    'promise/param-names': 'error',

    // Types say what is true.
    'typescript/no-explicit-any': 'error',
    'typescript/no-non-null-assertion': 'error',
    'typescript/ban-ts-comment': 'error',
    'typescript/consistent-type-imports': 'error',
    'typescript/no-import-type-side-effects': 'error',
    'import/consistent-type-specifier-style': ['error', 'prefer-top-level'],
    'typescript/switch-exhaustiveness-check': [
      'error',
      { considerDefaultExhaustiveForUnions: true },
    ],
    'typescript/explicit-module-boundary-types': 'error',
    'typescript/no-deprecated': 'error',
    'typescript/no-namespace': 'error',
    'typescript/no-require-imports': 'error',
    'typescript/prefer-readonly': 'error',
    'typescript/prefer-optional-chain': 'error',
    'typescript/array-type': 'error',
    'typescript/use-unknown-in-catch-callback-variable': 'error',

    eqeqeq: 'error',
    'no-var': 'error',
    'prefer-const': 'error',
    'object-shorthand': 'error',
    'no-empty': 'error',
    'no-else-return': 'error',
    'max-params': ['error', { max: 5 }],
    'no-warning-comments': 'error',
    'unicorn/prefer-node-protocol': 'error',
    'unicorn/filename-case': ['error', { case: 'kebabCase' }],
    'unicorn/throw-new-error': 'error',
    'oxc/no-barrel-file': 'error',
    // Types count: a circle of types still means that neither file can be read alone.
    'import/no-cycle': ['error', { ignoreTypes: false }],

    // An Express rule: Fastify handlers may be async.
    'oxc/no-async-endpoint-handlers': 'off',
    // `as` is allowed right after a check that proves it.
    'typescript/no-unsafe-type-assertion': 'off',
    // `then` is used for its second callback or to start work that nobody waits for; those return nothing.
    'promise/always-return': 'off',
    'promise/no-callback-in-promise': 'off',
    // The compiler's own check (noImplicitReturns) knows exhaustive switches, this one does not.
    'typescript/consistent-return': 'off',
    // Hot loops leave a condition fixed on purpose.
    'no-unmodified-loop-condition': 'off',
    // Small closures stay beside their one use.
    'unicorn/consistent-function-scoping': 'off',
    // Browser rules.
    'unicorn/require-post-message-target-origin': 'off',
    'unicorn/prefer-add-event-listener': 'off',
  },
  overrides: [
    {
      files: ['src/**'],
      rules: {
        'max-lines': ['error', { max: 250 }],
        'no-console': 'error',
        'import/no-default-export': 'error',
        // The environment enters through the command and the worker's entry, and is handed on.
        'node/no-process-env': 'error',
        // `any` from a library or from JSON becomes `unknown` or a type at once.
        'typescript/no-unsafe-argument': 'error',
        'typescript/no-unsafe-assignment': 'error',
        'typescript/no-unsafe-call': 'error',
        'typescript/no-unsafe-member-access': 'error',
        'typescript/no-unsafe-return': 'error',
      },
    },
    {
      files: [
        'src/cli.ts',
        'src/command/{serve,cache}.ts',
        'src/config/parse.ts',
        'src/worker/process/{main,connection-main,launcher,weights-main}.ts',
        'src/worker/process/start/{run-worker,arguments,parent-watch}.ts',
        'src/testing/testing.ts',
      ],
      rules: { 'node/no-process-env': 'off' },
    },
    {
      // Standard output of a worker is its log.
      files: ['src/cli.ts', 'src/worker/process/**'],
      rules: { 'no-console': 'off' },
    },
    ...layers,
    {
      files: ['test/**'],
      rules: {
        'typescript/no-misused-spread': 'off',
        'typescript/only-throw-error': 'off',
        'typescript/require-array-sort-compare': 'off',
        'typescript/unbound-method': 'off',
      },
    },
  ],
}
