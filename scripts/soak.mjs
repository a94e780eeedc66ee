/** `npm run soak`: sends random bodies to models that echo them, see benchmarks/soak.ts. */
import { runBenchmark } from './run-benchmark.mjs'

runBenchmark('soak')
