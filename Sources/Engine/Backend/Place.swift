// Places: where an integer operand lives. A generated handler builds them from the fields of its operation; everything
// folds away at compile time. A place never touches state itself, it asks the backend.

/// An operand that can be read, written or updated as an integer of a fixed width.
public protocol Place {
  associatedtype Size: Width
  func read<B: Backend>(_ b: inout B) -> B.Value
  func write<B: Backend>(_ b: inout B, _ value: B.Value)
  /// Reads, applies `body`, writes; the address of a memory operand is computed once. Atomic for a locked place.
  func update<B: Backend>(
    _ b: inout B, _ body: (inout B, B.Value) -> B.Value
  ) -> (old: B.Value, new: B.Value)
}

/// A general register.
public struct Register<W: Width>: Place {
  public typealias Size = W
  /// Byte offset into `vt_cpu_state.general`.
  let offset: UInt8
  // PERF: places exist only between inlined functions; an outlined one costs a call in every handler.
  @inline(__always) public init(_ offset: UInt8) { self.offset = offset }
  @inline(__always) public func read<B: Backend>(_ b: inout B) -> B.Value { b.readRegister(W.self, offset) }
  @inline(__always) public func write<B: Backend>(_ b: inout B, _ value: B.Value) {
    b.writeRegister(W.self, offset, value)
  }
  @inline(__always) public func update<B: Backend>(
    _ b: inout B, _ body: (inout B, B.Value) -> B.Value
  ) -> (old: B.Value, new: B.Value) {
    let old = read(&b)
    let new = body(&b, old)
    write(&b, new)
    return (old, new)
  }
}

/// A memory operand `[general[base] + displacement]`.
public struct Memory<W: Width>: Place {
  public typealias Size = W
  let base: UInt8
  let displacement: Int32
  @inline(__always) public init(_ base: UInt8, _ displacement: Int32) {
    self.base = base
    self.displacement = displacement
  }
  @inline(__always) public func address<B: Backend>(_ b: inout B) -> B.Value {
    b.address(base: base, displacement: displacement)
  }
  @inline(__always) public func read<B: Backend>(_ b: inout B) -> B.Value { b.load(W.self, address(&b)) }
  @inline(__always) public func write<B: Backend>(_ b: inout B, _ value: B.Value) {
    b.store(W.self, address(&b), value)
  }
  @inline(__always) public func update<B: Backend>(
    _ b: inout B, _ body: (inout B, B.Value) -> B.Value
  ) -> (old: B.Value, new: B.Value) {
    let address = address(&b)
    let old = b.load(W.self, address)
    let new = body(&b, old)
    b.store(W.self, address, new)
    return (old, new)
  }
}

/// A memory operand under a LOCK prefix.
public struct LockedMemory<W: Width>: Place {
  public typealias Size = W
  let base: UInt8
  let displacement: Int32
  @inline(__always) public init(_ base: UInt8, _ displacement: Int32) {
    self.base = base
    self.displacement = displacement
  }
  @inline(__always) public func address<B: Backend>(_ b: inout B) -> B.Value {
    b.address(base: base, displacement: displacement)
  }
  @inline(__always) public func read<B: Backend>(_ b: inout B) -> B.Value { b.load(W.self, address(&b)) }
  @inline(__always) public func write<B: Backend>(_ b: inout B, _ value: B.Value) {
    _ = b.atomicUpdate(W.self, address(&b)) { _, _ in value }
  }
  @inline(__always) public func update<B: Backend>(
    _ b: inout B, _ body: (inout B, B.Value) -> B.Value
  ) -> (old: B.Value, new: B.Value) {
    b.atomicUpdate(W.self, address(&b), body)
  }
}

/// A constant operand: an immediate, sign-extended to 64 bits by the decoder, or a number that the row names.
public struct Immediate<W: Width>: Place {
  public typealias Size = W
  let value: UInt64
  @inline(__always) public init(_ value: Int64) {
    self.value = UInt64(truncatingIfNeeded: W.Native(truncatingIfNeeded: value))
  }
  @inline(__always) public func read<B: Backend>(_ b: inout B) -> B.Value { b.constant(value) }
  /// Rows never write an immediate; isagen rejects them.
  @inline(__always) public func write<B: Backend>(_ b: inout B, _ value: B.Value) {}
  @inline(__always) public func update<B: Backend>(
    _ b: inout B, _ body: (inout B, B.Value) -> B.Value
  ) -> (old: B.Value, new: B.Value) {
    let old = read(&b)
    return (old, body(&b, old))
  }
}

/// A memory operand of which the semantic uses the address: `LEA`, `FXSAVE`, `CMPXCHG16B`, `m80`.
public struct Address {
  let base: UInt8
  let displacement: Int32
  @inline(__always) public init(_ base: UInt8, _ displacement: Int32) {
    self.base = base
    self.displacement = displacement
  }
  @inline(__always) public func address<B: Backend>(_ b: inout B) -> B.Value {
    b.address(base: base, displacement: displacement)
  }
}

/// The segment of an implicit memory operand (string instructions, XLAT, MASKMOV): 0 none (base 0), 1 FS, 2 GS.
public struct ImplicitSegment {
  public let number: UInt8
  // PERF: a field of the operation, folded into the handler.
  @inline(__always) public init(_ number: UInt8) { self.number = number }
}

/// Which REP prefix a string instruction runs under.
public enum Repetition {
  case none
  /// REP before MOVS, STOS, LODS.
  case repeated
  /// REPE before CMPS, SCAS.
  case whileEqual
  /// REPNE before CMPS, SCAS.
  case whileNotEqual
}

/// A segment register operand: ES CS SS DS FS GS as 0…5.
public struct SegmentRegister {
  public let number: UInt8
  @inline(__always) public init(_ number: UInt8) { self.number = number }
}
