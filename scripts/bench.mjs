/**
 * `npm run bench`: measures the server against the bare runtime, see docs/performance.md.
 *
 *     npm run bench                      all benchmarks, about 25 minutes
 *     npm run bench -- B1 B3             some of them
 *     npm run bench -- --quick           one short round each, to check that they run
 *     npm run bench -- --json            machine facts and every round, as JSON
 *     npm run bench -- --rounds=5 --seconds=10
 */
import { runBenchmark } from './run-benchmark.mjs'

runBenchmark('main')
