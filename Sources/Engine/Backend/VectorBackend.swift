// Vector primitives. The core (chunks in and out) is below; the operations on chunks are listed by family.

/// 128-bit chunks.
public protocol VectorBackend: CoreBackend {
  /// 128 bits.
  associatedtype Chunk

  mutating func readVector(_ number: UInt8, _ index: Int) -> Chunk
  mutating func writeVector(_ number: UInt8, _ index: Int, _ value: Chunk)
  /// Zeroes the register's chunks from `index` up.
  mutating func zeroVectorAbove(_ number: UInt8, _ index: Int)
  mutating func readMMX(_ number: UInt8) -> Chunk
  mutating func writeMMX(_ number: UInt8, _ value: Chunk)
  /// Loads `bytes` (a constant ≤ 16) at `address + offset`, zero-extended.
  mutating func loadChunk(_ address: Value, offset: Int, bytes: Int) -> Chunk
  mutating func storeChunk(_ address: Value, offset: Int, bytes: Int, _ value: Chunk)
  /// #GP unless `address` is a multiple of `bytes`.
  mutating func checkAlignment(_ address: Value, bytes: Int)
}
