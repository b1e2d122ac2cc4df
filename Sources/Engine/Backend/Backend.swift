// What an execution engine offers to the instruction semantics. The semantics (Engine/Semantics) are written once, as
// generic functions over `Backend`; the interpreter conforms with values being the integers themselves, an auditor will
// conform with value + shadow, a lifter with value = node. A semantic therefore never branches on a guest value except
// through the backend (`select`, `trap(if:)`, `repeatString`).
//
// The protocol is composed of one protocol a family, each in its own file.

/// Everything a semantic may do.
public protocol Backend: IntegerBackend, SystemBackend, VectorBackend, FloatBackend, X87Backend {}

/// Reasons for which an instruction traps on its own account (Intel SDM volume 3, table 6-1).
public enum Trap: UInt32, Sendable {
  case divideError = 0
  case debug = 1
  case breakpoint = 3
  case overflow = 4
  case boundRange = 5
  case invalidOpcode = 6
  case deviceNotAvailable = 7
  case stackFault = 12
  case generalProtection = 13
  case pageFault = 14
  case x87FloatingPoint = 16
  case alignmentCheck = 17
  case simdFloatingPoint = 19
}

/// The six status flags that arithmetic sets, and the control flags a program may change.
public enum Flag: UInt8 {
  case carry = 0
  case parity = 2
  case adjust = 4
  case zero = 6
  case sign = 7
  case direction = 10
  case overflow = 11
}

/// Values, registers, memory and traps: what all families need.
public protocol CoreBackend {
  /// An integer of up to 64 bits, kept zero-extended to 64.
  associatedtype Value
  /// A truth value.
  associatedtype Truth

  mutating func constant(_ value: UInt64) -> Value

  /// `offset` is a byte offset into `vt_cpu_state.general` (odd: AH, CH, DH, BH).
  mutating func readRegister<W: Width>(_ width: W.Type, _ offset: UInt8) -> Value
  /// A 32-bit write zeroes the upper half; 8- and 16-bit writes keep the rest.
  mutating func writeRegister<W: Width>(_ width: W.Type, _ offset: UInt8, _ value: Value)

  /// The guest address of a memory operand.
  mutating func address(base: UInt8, displacement: Int32) -> Value
  /// The address of a place next to a memory operand (bit strings), wrapped as the address size wants it.
  mutating func completeAddress(_ address: Value) -> Value
  /// Little-endian load, zero-extended. A bad address is a precise guest fault and does not return.
  mutating func load<W: Width>(_ width: W.Type, _ address: Value) -> Value
  mutating func store<W: Width>(_ width: W.Type, _ address: Value, _ value: Value)
  /// Checks that `count` bytes (a constant) can be written without writing: for instructions with several stores.
  mutating func probeWrite(_ address: Value, count: Int)
  /// An atomic read-modify-write: `body` may run several times. Returns the old and the new value.
  mutating func atomicUpdate<W: Width>(
    _ width: W.Type, _ address: Value, _ body: (inout Self, Value) -> Value
  ) -> (old: Value, new: Value)

  /// Raises `trap` when `condition` holds; nothing may have been written before.
  mutating func trap(if condition: Truth, _ trap: Trap)
  mutating func trap(_ trap: Trap)

  mutating func select(_ condition: Truth, _ then: Value, _ otherwise: Value) -> Value
}
