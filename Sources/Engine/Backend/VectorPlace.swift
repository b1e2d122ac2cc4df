// Places of vector operands. A vector is seen as chunks of 128 bits: nearly every SSE and AVX operation works
// on each 128-bit lane alone, so one semantic serves legacy, VEX.128 and VEX.256 encodings; the place knows
// what a write does to the bits above.

/// An operand of one or more 128-bit chunks.
public protocol VectorPlace {
  /// Chunks that belong to the operand: 1 or 2 (4 with AVX-512).
  static var chunks: Int { get }
  /// Bytes of the operand: 4, 8, 16, 32 …; registers say their full size.
  static var bytes: Int { get }
  /// Reads chunk `index`. A memory operand shorter than 16 bytes is zero-extended. All chunks of a memory
  /// operand must be read before anything is written.
  func read<B: Backend>(_ b: inout B, _ index: Int) -> B.Chunk
  /// Writes chunk `index`; of a short memory operand only its low bytes.
  func write<B: Backend>(_ b: inout B, _ index: Int, _ value: B.Chunk)
  /// Called once after the last chunk was written: VEX places zero the rest of the register.
  func finish<B: Backend>(_ b: inout B)
  /// Both chunks of a 256-bit operand.
  func readPair<B: Backend>(_ b: inout B) -> (low: B.Chunk, high: B.Chunk)
  /// Writes both chunks of a 256-bit operand and finishes.
  func writePair<B: Backend>(_ b: inout B, _ low: B.Chunk, _ high: B.Chunk)
  /// Whether the place is an MMX register: the instruction then also puts the x87 unit into MMX state.
  static var isMMX: Bool { get }
}

extension VectorPlace {
  // PERF: a constant that must fold in every handler.
  @inline(__always) public static var isMMX: Bool { false }

  @inline(__always) public func readPair<B: Backend>(_ b: inout B) -> (low: B.Chunk, high: B.Chunk) {
    let low = read(&b, 0)
    return (low, read(&b, 1))
  }

  @inline(__always) public func writePair<B: Backend>(_ b: inout B, _ low: B.Chunk, _ high: B.Chunk) {
    write(&b, 0, low)
    write(&b, 1, high)
    finish(&b)
  }
}

/// An XMM or YMM register.
public protocol VectorRegister: VectorPlace {
  var number: UInt8 { get }
  init(_ number: UInt8)
}

/// An XMM register of a legacy SSE instruction: writes keep the bits above 127.
public struct LegacyXMM: VectorRegister {
  public let number: UInt8
  // PERF: as for integer places, everything here must vanish into the handler.
  @inline(__always) public init(_ number: UInt8) { self.number = number }
  @inline(__always) public static var chunks: Int { 1 }
  @inline(__always) public static var bytes: Int { 16 }
  @inline(__always) public func read<B: Backend>(_ b: inout B, _ index: Int) -> B.Chunk {
    b.readVector(number, index)
  }
  @inline(__always) public func write<B: Backend>(_ b: inout B, _ index: Int, _ value: B.Chunk) {
    b.writeVector(number, index, value)
  }
  @inline(__always) public func finish<B: Backend>(_ b: inout B) {}
}

/// An XMM register of a VEX instruction: writes zero the bits above 127.
public struct VexXMM: VectorRegister {
  public let number: UInt8
  @inline(__always) public init(_ number: UInt8) { self.number = number }
  @inline(__always) public static var chunks: Int { 1 }
  @inline(__always) public static var bytes: Int { 16 }
  @inline(__always) public func read<B: Backend>(_ b: inout B, _ index: Int) -> B.Chunk {
    b.readVector(number, index)
  }
  @inline(__always) public func write<B: Backend>(_ b: inout B, _ index: Int, _ value: B.Chunk) {
    b.writeVector(number, index, value)
  }
  @inline(__always) public func finish<B: Backend>(_ b: inout B) { b.zeroVectorAbove(number, 1) }
}

/// A YMM register: writes zero the bits above 255.
public struct VexYMM: VectorRegister {
  public let number: UInt8
  @inline(__always) public init(_ number: UInt8) { self.number = number }
  @inline(__always) public static var chunks: Int { 2 }
  @inline(__always) public static var bytes: Int { 32 }
  @inline(__always) public func read<B: Backend>(_ b: inout B, _ index: Int) -> B.Chunk {
    b.readVector(number, index)
  }
  @inline(__always) public func write<B: Backend>(_ b: inout B, _ index: Int, _ value: B.Chunk) {
    b.writeVector(number, index, value)
  }
  @inline(__always) public func finish<B: Backend>(_ b: inout B) { b.zeroVectorAbove(number, 2) }
}

/// An MMX register: the low half of a chunk; writes also put the x87 unit into MMX state.
public struct MMXRegister: VectorPlace {
  let number: UInt8
  @inline(__always) public init(_ number: UInt8) { self.number = number }
  @inline(__always) public static var isMMX: Bool { true }
  @inline(__always) public static var chunks: Int { 1 }
  @inline(__always) public static var bytes: Int { 8 }
  @inline(__always) public func read<B: Backend>(_ b: inout B, _ index: Int) -> B.Chunk { b.readMMX(number) }
  @inline(__always) public func write<B: Backend>(_ b: inout B, _ index: Int, _ value: B.Chunk) {
    b.writeMMX(number, value)
  }
  @inline(__always) public func finish<B: Backend>(_ b: inout B) {}
}

/// The size of a vector memory operand, as a type.
public protocol VectorSize {
  static var bytes: Int { get }
}
public enum Bytes1: VectorSize { @inline(__always) public static var bytes: Int { 1 } }
public enum Bytes2: VectorSize { @inline(__always) public static var bytes: Int { 2 } }
public enum Bytes4: VectorSize { @inline(__always) public static var bytes: Int { 4 } }
public enum Bytes8: VectorSize { @inline(__always) public static var bytes: Int { 8 } }
public enum Bytes16: VectorSize { @inline(__always) public static var bytes: Int { 16 } }
public enum Bytes32: VectorSize { @inline(__always) public static var bytes: Int { 32 } }

/// A vector operand in memory, of any alignment.
public struct VectorMemory<S: VectorSize>: VectorPlace {
  let base: UInt8
  let displacement: Int32
  @inline(__always) public init(_ base: UInt8, _ displacement: Int32) {
    self.base = base
    self.displacement = displacement
  }
  @inline(__always) public static var chunks: Int { S.bytes > 16 ? S.bytes / 16 : 1 }
  @inline(__always) public static var bytes: Int { S.bytes }
  @inline(__always) public func address<B: Backend>(_ b: inout B) -> B.Value {
    b.address(base: base, displacement: displacement)
  }
  @inline(__always) public func read<B: Backend>(_ b: inout B, _ index: Int) -> B.Chunk {
    b.loadChunk(address(&b), offset: index &* 16, bytes: min(S.bytes, 16))
  }
  @inline(__always) public func write<B: Backend>(_ b: inout B, _ index: Int, _ value: B.Chunk) {
    // The first store of a multi-chunk operand must not happen when a later one would fault.
    if index == 0 && S.bytes > 16 { b.probeStore(address(&b), bytes: S.bytes) }
    b.storeChunk(address(&b), offset: index &* 16, bytes: min(S.bytes, 16), value)
  }
  // PERF: one address computation for both halves.
  @inline(__always) public func readPair<B: Backend>(_ b: inout B) -> (low: B.Chunk, high: B.Chunk) {
    b.loadChunkPair(address(&b))
  }
  @inline(__always) public func writePair<B: Backend>(_ b: inout B, _ low: B.Chunk, _ high: B.Chunk) {
    b.storeChunkPair(address(&b), low, high)
  }
  @inline(__always) public func finish<B: Backend>(_ b: inout B) {}
}

/// A vector operand in memory that must be aligned to its size (#GP otherwise).
public struct AlignedVectorMemory<S: VectorSize>: VectorPlace {
  let memory: VectorMemory<S>
  @inline(__always) public init(_ base: UInt8, _ displacement: Int32) {
    memory = VectorMemory(base, displacement)
  }
  @inline(__always) public static var chunks: Int { VectorMemory<S>.chunks }
  @inline(__always) public static var bytes: Int { S.bytes }
  @inline(__always) public func address<B: Backend>(_ b: inout B) -> B.Value { memory.address(&b) }
  @inline(__always) public func read<B: Backend>(_ b: inout B, _ index: Int) -> B.Chunk {
    b.checkAlignment(memory.address(&b), bytes: S.bytes)
    return memory.read(&b, index)
  }
  @inline(__always) public func write<B: Backend>(_ b: inout B, _ index: Int, _ value: B.Chunk) {
    b.checkAlignment(memory.address(&b), bytes: S.bytes)
    memory.write(&b, index, value)
  }
  @inline(__always) public func readPair<B: Backend>(_ b: inout B) -> (low: B.Chunk, high: B.Chunk) {
    b.checkAlignment(memory.address(&b), bytes: S.bytes)
    return memory.readPair(&b)
  }
  @inline(__always) public func writePair<B: Backend>(_ b: inout B, _ low: B.Chunk, _ high: B.Chunk) {
    b.checkAlignment(memory.address(&b), bytes: S.bytes)
    memory.writePair(&b, low, high)
  }
  @inline(__always) public func finish<B: Backend>(_ b: inout B) {}
}

/// A VSIB operand of gathers: base + index vector × scale + displacement.
public struct VectorIndexed {
  public let base: UInt8
  public let displacement: Int32
  /// Number of the index vector register.
  public let index: UInt8
  /// 0…3: log2 of the scale.
  public let scale: UInt8
  /// 32 or 64: width of the indices; 128 or 256: size of the index vector.
  public let indexBits: Int
  public let vectorBits: Int
  @inline(__always) public init(
    _ base: UInt8, _ displacement: Int32, index: UInt8, scale: UInt8, indexBits: Int, vectorBits: Int
  ) {
    self.base = base
    self.displacement = displacement
    self.index = index
    self.scale = scale
    self.indexBits = indexBits
    self.vectorBits = vectorBits
  }
}

/// An x87 stack register ST(i).
public struct StackRegister {
  public let index: UInt8
  @inline(__always) public init(_ index: UInt8) { self.index = index }
}
