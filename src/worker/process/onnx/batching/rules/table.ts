/**
 * Maps operators to rules. An operator that is not listed is not proved: control flow, random
 * numbers, results whose size depends on the data, and every operator that was not examined.
 */
import type { Rule } from '../node-view.ts'
import * as arithmetic from './arithmetic.ts'
import * as classical from './classical.ts'
import * as convolution from './convolution.ts'
import * as elementwise from './elementwise.ts'
import * as fused from './fused.ts'
import * as indexing from './indexing.ts'
import * as joining from './joining.ts'
import * as layout from './layout.ts'
import * as matrix from './matrix.ts'
import * as quantised from './quantised.ts'
import * as recurrent from './recurrent.ts'
import * as reduction from './reduction.ts'
import * as sizes from './sizes.ts'

type Rules = readonly (readonly [rule: Rule, operators: string])[]

/** Operators of ONNX itself. */
const STANDARD: Rules = [
  [
    elementwise.elementwise,
    `Abs Acos Acosh And Asin Asinh Atan Atanh BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Celu
    Cos Cosh Elu Erf Exp Gelu Greater GreaterOrEqual HardSigmoid HardSwish IsInf IsNaN LeakyRelu Less
    LessOrEqual Log Mean Mish Mod Not Or Pow Reciprocal Relu Round Selu Sigmoid Sign Sin Sinh Softplus
    Softsign Sqrt Sum Swish Tan Tanh ThresholdedRelu Xor RegexFullMatch StringConcat`,
  ],
  [elementwise.likeFirst, 'CastLike Clip Shrink'],
  [arithmetic.add, 'Add'],
  [arithmetic.subtract, 'Sub'],
  [arithmetic.multiply, 'Mul'],
  [arithmetic.divide, 'Div'],
  [arithmetic.equal, 'Equal'],
  [arithmetic.where, 'Where'],
  [arithmetic.negate, 'Neg'],
  [arithmetic.smallest, 'Min'],
  [arithmetic.largest, 'Max'],
  [arithmetic.floor, 'Floor'],
  [arithmetic.ceil, 'Ceil'],
  [arithmetic.identity, 'Identity'],
  [arithmetic.cast, 'Cast'],
  [matrix.matrixProduct, 'MatMul'],
  [matrix.quantisedProduct(1, [2], [3]), 'MatMulInteger'],
  [matrix.quantisedProduct(3, [1, 2, 6, 7], [4, 5, 6, 7]), 'QLinearMatMul'],
  [matrix.gemm, 'Gemm'],
  [matrix.einsum, 'Einsum'],
  [layout.reshape, 'Reshape'],
  [layout.flatten, 'Flatten'],
  [layout.squeeze, 'Squeeze'],
  [layout.unsqueeze, 'Unsqueeze'],
  [layout.transpose, 'Transpose'],
  [layout.depthToSpace, 'DepthToSpace'],
  [layout.spaceToDepth, 'SpaceToDepth'],
  [joining.concat, 'Concat'],
  [joining.split, 'Split'],
  [joining.expand, 'Expand'],
  [joining.tile, 'Tile'],
  [joining.constantOfShape, 'ConstantOfShape'],
  [joining.pad, 'Pad'],
  [indexing.gather, 'Gather'],
  [indexing.gatherElements, 'GatherElements'],
  [indexing.scatterElements, 'ScatterElements'],
  [indexing.gatherNd, 'GatherND'],
  [indexing.slice, 'Slice'],
  [indexing.topK, 'TopK'],
  [indexing.oneHot, 'OneHot'],
  [indexing.range, 'Range'],
  [sizes.shape, 'Shape'],
  [sizes.size, 'Size'],
  [sizes.constant, 'Constant'],
  [sizes.productOfList(reduction.reduce), 'ReduceProd'],
  [
    reduction.reduce,
    `ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceSum
    ReduceSumSquare`,
  ],
  [reduction.argument, 'ArgMax ArgMin'],
  [reduction.softmax, 'Hardmax LogSoftmax Softmax'],
  [reduction.alongInputAxis, 'CumSum CumProd'],
  [reduction.alongAxis(-1), 'LpNormalization'],
  [
    reduction.layerNormalization,
    'LayerNormalization RMSNormalization SimplifiedLayerNormalization',
  ],
  [reduction.samples, 'GroupNormalization InstanceNormalization'],
  [reduction.channels, 'LRN'],
  [reduction.batchNormalization, 'BatchNormalization'],
  [reduction.meanVarianceNormalization, 'MeanVarianceNormalization'],
  [reduction.dropout, 'Dropout'],
  [reduction.lastTwoAxes, 'Trilu'],
  [convolution.convolution(1), 'Conv'],
  [convolution.quantisedConvolution(1, [2]), 'ConvInteger'],
  [convolution.quantisedConvolution(3, [1, 2, 6, 7]), 'QLinearConv'],
  [convolution.transposedConvolution, 'ConvTranspose'],
  [convolution.pooling, 'AveragePool LpPool MaxPool'],
  [convolution.globalPooling, 'GlobalAveragePool GlobalLpPool GlobalMaxPool'],
  [convolution.resize, 'Resize Upsample'],
  [convolution.gridSample, 'GridSample'],
  [convolution.slopes, 'PRelu'],
  [recurrent.recurrent, 'GRU RNN'],
  [recurrent.longShortTerm, 'LSTM'],
  [recurrent.reverseSequence, 'ReverseSequence'],
  [quantised.scaled, 'DequantizeLinear QuantizeLinear'],
  [classical.stringNormalizer, 'StringNormalizer'],
  [classical.rowsOfScores, 'TfIdfVectorizer'],
]

const CLASSICAL: Rules = [
  [elementwise.elementwise, 'Binarizer CategoryMapper LabelEncoder'],
  [classical.classifier, 'LinearClassifier SVMClassifier TreeEnsembleClassifier'],
  [classical.rowsOfScores, 'LinearRegressor SVMRegressor TreeEnsemble TreeEnsembleRegressor'],
  [classical.rowsAsTheyAre, 'Imputer Normalizer Scaler'],
  [classical.oneHotEncoder, 'OneHotEncoder'],
  [classical.featureVectorizer, 'FeatureVectorizer'],
  [classical.featureExtractor, 'ArrayFeatureExtractor'],
  [classical.mapOfRow, 'ZipMap'],
]

/** onnxruntime's own operators. */
const RUNTIME: Rules = [
  [elementwise.elementwise, 'BiasGelu FastGelu Gelu QuickGelu'],
  [matrix.fusedProduct, 'FusedMatMul'],
  [matrix.gemm, 'FusedGemm'],
  [convolution.fusedConvolution, 'FusedConv'],
  [fused.skipNormalization, 'SkipLayerNormalization SkipSimplifiedLayerNormalization'],
  [fused.embedding, 'EmbedLayerNormalization'],
  [fused.attention, 'Attention'],
  [fused.quantisedAttention, 'QAttention'],
  [fused.multiHeadAttention, 'MultiHeadAttention'],
  [fused.blockProduct, 'MatMulNBits'],
  [quantised.scaled, 'DequantizeLinear QuantizeLinear'],
  [quantised.scaledPair, 'QLinearAdd QLinearMul'],
  [quantised.scaledUnary(elementwise.likeFirst), 'QLinearLeakyRelu QLinearSigmoid'],
  [quantised.scaledUnary(quantised.scaledSoftmax), 'QLinearSoftmax'],
  [
    quantised.channelsSecond(quantised.scaledUnary(convolution.globalPooling)),
    'QLinearGlobalAveragePool',
  ],
  [quantised.channelsSecond(quantised.scaledUnary(convolution.pooling)), 'QLinearAveragePool'],
  [quantised.scaledConcat, 'QLinearConcat'],
  [quantised.scaledDense, 'QGemm'],
  [quantised.floatProduct, 'MatMulIntegerToFloat'],
  [classical.distances, 'CDist'],
]

const TABLE: ReadonlyMap<string, Rule> = new Map([
  ...entries('', STANDARD),
  ...entries('ai.onnx.ml', CLASSICAL),
  ...entries('com.microsoft', RUNTIME),
])

/** Returns the rule of an operator; `undefined` when it has none. */
export function ruleOf(domain: string, operator: string): Rule | undefined {
  return TABLE.get(`${domain}:${operator}`)
}

function entries(domain: string, rules: Rules): [string, Rule][] {
  return rules.flatMap(([rule, operators]) =>
    operators.split(/\s+/).map((operator): [string, Rule] => [`${domain}:${operator}`, rule]),
  )
}
