// Vector primitives on chunks of 128 bits: what SSE and AVX do to one lane. An MMX register is a chunk whose
// upper half is zero or ignored. The element type is a type argument. Names follow the Intel manual's
// "packed" instructions; operands are in the order of the three-operand (VEX) forms: `x` is the first source,
// `y` the second.

/// 128-bit chunks: state, memory, and what moves between chunks and integers.
public protocol VectorCoreBackend: CoreBackend {
  /// 128 bits.
  associatedtype Chunk

  mutating func readVector(_ number: UInt8, _ index: Int) -> Chunk
  mutating func writeVector(_ number: UInt8, _ index: Int, _ value: Chunk)
  /// Zeroes the register's chunks from `index` up.
  mutating func zeroVectorAbove(_ number: UInt8, _ index: Int)
  mutating func readMMX(_ number: UInt8) -> Chunk
  mutating func writeMMX(_ number: UInt8, _ value: Chunk)
  /// Every MMX instruction but EMMS: x87 TOP 0, all registers valid (SDM volume 3, section 13.2).
  mutating func enterMMX()
  /// EMMS: all x87 registers empty.
  mutating func leaveMMX()
  /// SFENCE, LFENCE, MFENCE: a full fence.
  mutating func fence()
  /// Loads `bytes` (a constant ≤ 16) at `address + offset`, zero-extended.
  mutating func loadChunk(_ address: Value, offset: Int, bytes: Int) -> Chunk
  mutating func storeChunk(_ address: Value, offset: Int, bytes: Int, _ value: Chunk)
  /// Loads 32 bytes.
  mutating func loadChunkPair(_ address: Value) -> (low: Chunk, high: Chunk)
  /// Stores 32 bytes, all or none.
  mutating func storeChunkPair(_ address: Value, _ low: Chunk, _ high: Chunk)
  /// Faults as a store of `bytes` at `address` would, when its first part could be written and a later one
  /// not.
  mutating func probeStore(_ address: Value, bytes: Int)
  /// #GP unless `address` is a multiple of `bytes`.
  mutating func checkAlignment(_ address: Value, bytes: Int)

  /// Loads the elements whose mask element has its top bit set; the others are zero and are not accessed.
  mutating func loadMasked<E: Element>(_ element: E.Type, _ address: Value, offset: Int, mask: Chunk) -> Chunk
  /// Faults as a store of the elements that `mask` selects would, and stores nothing.
  mutating func probeMasked<E: Element>(_ element: E.Type, _ address: Value, offset: Int, mask: Chunk)
  mutating func storeMasked<E: Element>(
    _ element: E.Type, _ address: Value, offset: Int, mask: Chunk, _ value: Chunk)
  /// VPGATHER: loads elements one by one into `destination`, clearing each one's mask element, so that a
  /// fault leaves the completed ones done; at the end clears the mask register and the destination above
  /// `count` elements.
  mutating func gather<E: Element>(
    _ element: E.Type, destination: UInt8, mask: UInt8, count: Int, _ operand: VectorIndexed)
  /// The guest address of MASKMOV's implicit operand: RDI (EDI) in a segment.
  mutating func implicitDestination<W: Width>(_ addressWidth: W.Type, _ segment: ImplicitSegment) -> Value

  /// `low` in bits 63…0, `high` in bits 127…64.
  mutating func chunk(low: Value, high: Value) -> Chunk
  /// `yes` when bit `bit` of `value` is set, else `no`.
  mutating func select(_ value: Value, bit: Int, _ yes: Chunk, _ no: Chunk) -> Chunk
  /// Element `index` (modulo the number of elements), zero-extended.
  mutating func extract<E: Element>(_ element: E.Type, _ x: Chunk, _ index: Value) -> Value
  mutating func insert<E: Element>(_ element: E.Type, _ x: Chunk, _ index: Value, _ value: Value) -> Chunk
  /// Element 0 everywhere.
  mutating func broadcast<E: Element>(_ element: E.Type, _ x: Chunk) -> Chunk
  /// The elements' top bits, element 0's in bit 0.
  mutating func signs<E: Element>(_ element: E.Type, _ x: Chunk) -> Value
  /// 1 when all bits are zero.
  mutating func isZero(_ x: Chunk) -> Value
  mutating func shiftLeft(_ x: Value, _ count: UInt64) -> Value
  mutating func shiftRight(_ x: Value, _ count: UInt64) -> Value
  /// Sets the six status flags to these values (0 or 1); AF = PF = 0.
  mutating func setFlags(carry: Value, zero: Value, sign: Value, overflow: Value)
}

/// Packed integer arithmetic, comparison and shifts.
public protocol VectorArithmeticBackend: VectorCoreBackend {
  mutating func vectorAnd(_ x: Chunk, _ y: Chunk) -> Chunk
  /// `~x & y`.
  mutating func vectorAndNot(_ x: Chunk, _ y: Chunk) -> Chunk
  mutating func vectorOr(_ x: Chunk, _ y: Chunk) -> Chunk
  mutating func vectorXor(_ x: Chunk, _ y: Chunk) -> Chunk

  mutating func packedAdd<E: Element>(_ element: E.Type, _ x: Chunk, _ y: Chunk) -> Chunk
  mutating func packedSubtract<E: Element>(_ element: E.Type, _ x: Chunk, _ y: Chunk) -> Chunk
  /// Elements of 8 or 16 bits.
  mutating func packedAddSaturating<E: Element>(_ element: E.Type, _ x: Chunk, _ y: Chunk) -> Chunk
  mutating func packedSubtractSaturating<E: Element>(_ element: E.Type, _ x: Chunk, _ y: Chunk) -> Chunk
  mutating func packedMultiplyLow<E: Element>(_ element: E.Type, _ x: Chunk, _ y: Chunk) -> Chunk
  mutating func packedMultiplyHigh<E: Element>(_ element: E.Type, _ x: Chunk, _ y: Chunk) -> Chunk
  /// PMULUDQ, PMULDQ: 64-bit products of the even elements.
  mutating func packedMultiplyEven<E: Element>(_ element: E.Type, _ x: Chunk, _ y: Chunk) -> Chunk
  mutating func packedMultiplyHighRounding(_ x: Chunk, _ y: Chunk) -> Chunk
  mutating func packedMultiplyAddWords(_ x: Chunk, _ y: Chunk) -> Chunk
  mutating func packedMultiplyAddBytes(_ x: Chunk, _ y: Chunk) -> Chunk
  mutating func packedAverage<E: Element>(_ element: E.Type, _ x: Chunk, _ y: Chunk) -> Chunk
  mutating func packedMinimum<E: Element>(_ element: E.Type, _ x: Chunk, _ y: Chunk) -> Chunk
  mutating func packedMaximum<E: Element>(_ element: E.Type, _ x: Chunk, _ y: Chunk) -> Chunk
  mutating func packedAbsolute<E: Element>(_ element: E.Type, _ x: Chunk) -> Chunk
  mutating func packedSign<E: Element>(_ element: E.Type, _ x: Chunk, _ y: Chunk) -> Chunk
  mutating func packedSumAbsoluteDifferences(_ x: Chunk, _ y: Chunk) -> Chunk
  /// MPSADBW: `control` bits 1…0 choose the four bytes of `y`, bit 2 the start in `x`.
  mutating func packedMultipleSumAbsoluteDifferences(_ x: Chunk, _ y: Chunk, _ control: Value) -> Chunk
  mutating func packedMinimumPosition(_ x: Chunk) -> Chunk
  /// Sums of neighbours: of `x` in the low half, of `y` in the high half.
  mutating func packedHorizontalAdd<E: Element>(_ element: E.Type, _ x: Chunk, _ y: Chunk) -> Chunk
  mutating func packedHorizontalSubtract<E: Element>(_ element: E.Type, _ x: Chunk, _ y: Chunk) -> Chunk
  mutating func packedCompareEqual<E: Element>(_ element: E.Type, _ x: Chunk, _ y: Chunk) -> Chunk
  mutating func packedCompareGreater<E: Element>(_ element: E.Type, _ x: Chunk, _ y: Chunk) -> Chunk

  /// Shifts all elements by `count`; a count of the element's width or more gives zeros (or signs).
  mutating func packedShiftLeft<E: Element>(_ element: E.Type, _ x: Chunk, _ count: Value) -> Chunk
  mutating func packedShiftRight<E: Element>(_ element: E.Type, _ x: Chunk, _ count: Value) -> Chunk
  /// Shifts each element by the element of `y`.
  mutating func packedShiftLeftVariable<E: Element>(_ element: E.Type, _ x: Chunk, _ y: Chunk) -> Chunk
  mutating func packedShiftRightVariable<E: Element>(_ element: E.Type, _ x: Chunk, _ y: Chunk) -> Chunk
  mutating func vectorShiftLeftBytes(_ x: Chunk, _ count: Value) -> Chunk
  mutating func vectorShiftRightBytes(_ x: Chunk, _ count: Value) -> Chunk
}

/// Rearranging elements.
public protocol VectorShuffleBackend: VectorCoreBackend {
  /// The elements of `x`, then of `y`, narrowed with saturation.
  mutating func packedPack<From: Element, To: Element>(
    _ from: From.Type, _ to: To.Type, _ x: Chunk, _ y: Chunk
  ) -> Chunk
  /// Interleaves the low (high) halves.
  mutating func packedUnpackLow<E: Element>(_ element: E.Type, _ x: Chunk, _ y: Chunk) -> Chunk
  mutating func packedUnpackHigh<E: Element>(_ element: E.Type, _ x: Chunk, _ y: Chunk) -> Chunk
  mutating func packedDuplicateEven<E: Element>(_ element: E.Type, _ x: Chunk) -> Chunk
  mutating func packedDuplicateOdd<E: Element>(_ element: E.Type, _ x: Chunk) -> Chunk
  /// Sign- or zero-extends as many elements as fit, from the part number `part` of the source.
  mutating func packedExtend<From: Element, To: Element>(
    _ from: From.Type, _ to: To.Type, _ x: Chunk, part: Int
  ) -> Chunk
  /// Elements of `y` where the bit of `control` (element 0: bit 0) is set, else of `x`.
  mutating func packedBlend<E: Element>(_ element: E.Type, _ x: Chunk, _ y: Chunk, _ control: Value) -> Chunk
  /// Elements of `y` where the mask element's top bit is set, else of `x`.
  mutating func packedBlendVariable<E: Element>(_ element: E.Type, _ x: Chunk, _ y: Chunk, _ mask: Chunk)
    -> Chunk

  mutating func packedShuffleDoublewords(_ x: Chunk, _ control: Value) -> Chunk
  mutating func packedShuffleLowWords(_ x: Chunk, _ control: Value) -> Chunk
  mutating func packedShuffleHighWords(_ x: Chunk, _ control: Value) -> Chunk
  mutating func packedShuffleSingle(_ x: Chunk, _ y: Chunk, _ control: Value) -> Chunk
  /// Bits 0 and 1 of `control` choose the half of `x` and of `y`.
  mutating func packedShuffleDouble(_ x: Chunk, _ y: Chunk, _ control: Value) -> Chunk
  mutating func packedShuffleBytes(_ x: Chunk, _ control: Chunk) -> Chunk
  /// VPERMILPS, VPERMILPD with a vector control.
  mutating func packedPermuteVariable<E: Element>(_ element: E.Type, _ x: Chunk, _ control: Chunk) -> Chunk
  /// Bytes `count` and up of the 32-byte number `high:low`.
  mutating func packedAlignRight(high: Chunk, low: Chunk, _ count: Value) -> Chunk
  /// INSERTPS: element `control` bits 7…6 of `y` into element bits 5…4 of `x`, then zeroes by bits 3…0.
  mutating func insertSingle(_ x: Chunk, _ y: Chunk, _ control: Value) -> Chunk
  /// Two quadwords of the four in `high:low`, chosen by bits 1…0 and 3…2 of `control`.
  mutating func permuteQuadwords(low: Chunk, high: Chunk, _ control: Value) -> Chunk
  /// Doublewords of `high:low` chosen by the low three bits of each index.
  mutating func permuteDoublewords(low: Chunk, high: Chunk, _ indices: Chunk) -> Chunk
}

/// Cryptography, Galois fields, checksums and string comparison.
public protocol VectorSpecialBackend: VectorCoreBackend {
  mutating func aesEncrypt(_ state: Chunk, _ key: Chunk, last: Bool) -> Chunk
  mutating func aesDecrypt(_ state: Chunk, _ key: Chunk, last: Bool) -> Chunk
  mutating func aesInverseMixColumns(_ x: Chunk) -> Chunk
  mutating func aesKeyGenerationAssist(_ x: Chunk, _ constant: Value) -> Chunk
  /// The 128-bit carry-less product of a half of `x` (bit 0 of `control`) and of `y` (bit 4).
  mutating func carrylessMultiply(_ x: Chunk, _ y: Chunk, _ control: Value) -> Chunk
  mutating func galoisMultiply(_ x: Chunk, _ y: Chunk) -> Chunk
  mutating func galoisAffine(_ x: Chunk, _ matrix: Chunk, _ constant: Value, inverse: Bool) -> Chunk
  mutating func sha1Rounds(_ state: Chunk, _ words: Chunk, _ function: Value) -> Chunk
  mutating func sha1NextE(_ x: Chunk, _ y: Chunk) -> Chunk
  mutating func sha1Message1(_ x: Chunk, _ y: Chunk) -> Chunk
  mutating func sha1Message2(_ x: Chunk, _ y: Chunk) -> Chunk
  mutating func sha256Rounds(_ x: Chunk, _ y: Chunk, _ words: Chunk) -> Chunk
  mutating func sha256Message1(_ x: Chunk, _ y: Chunk) -> Chunk
  mutating func sha256Message2(_ x: Chunk, _ y: Chunk) -> Chunk
  mutating func crc32<W: Width>(_ width: W.Type, _ checksum: Value, _ data: Value) -> Value

  /// PCMPxSTRx: the aggregated comparison (IntRes2), and CF, ZF, SF, OF set. Lengths are in elements, signed.
  mutating func compareStrings(
    _ x: Chunk, _ y: Chunk, lengthX: Value, lengthY: Value, _ control: Value
  ) -> Value
  /// The same with lengths up to the first zero element.
  mutating func compareTerminatedStrings(_ x: Chunk, _ y: Chunk, _ control: Value) -> Value
  /// The index that PCMPxSTRI puts into ECX.
  mutating func stringIndex(_ comparison: Value, _ control: Value) -> Value
  /// The mask that PCMPxSTRM puts into XMM0.
  mutating func stringMask(_ comparison: Value, _ control: Value) -> Chunk
}

/// All vector primitives.
public protocol VectorBackend: VectorArithmeticBackend, VectorShuffleBackend, VectorSpecialBackend {}
