// Moves, extensions, conditional moves, LEA, XLAT, the stack, and instructions that move flags.
//
// The stack pointer is 64 bits wide. Whatever can fault comes before RSP changes.

import X86

// PERF: as all semantics, inlined into handlers.
extension Semantics {
  @inline(__always) public static func nop<B: Backend>(_ b: inout B) {}

  @inline(__always) public static func mov<B: Backend, D: Place, S: Place>(
    _ b: inout B, _ destination: D, _ source: S
  ) {
    let x = source.read(&b)
    destination.write(&b, x)
  }

  @inline(__always) public static func movzx<B: Backend, D: Place, S: Place>(
    _ b: inout B, _ destination: D, _ source: S
  ) {
    let x = source.read(&b)
    destination.write(&b, x)
  }

  @inline(__always) public static func movsx<B: Backend, D: Place, S: Place>(
    _ b: inout B, _ destination: D, _ source: S
  ) {
    let x = source.read(&b)
    let extended = b.signExtend(S.Size.self, D.Size.self, x)
    destination.write(&b, extended)
  }

  @inline(__always) public static func lea<B: Backend, D: Place, S: AddressablePlace>(
    _ b: inout B, _ destination: D, _ source: S
  ) {
    let address = source.address(&b)
    destination.write(&b, address)
  }

  @inline(__always) public static func setcc<B: Backend, D: Place>(
    _ b: inout B, _ condition: Condition, _ destination: D
  ) {
    let holds = b.condition(condition)
    let bit = b.bit(holds)
    destination.write(&b, bit)
  }

  /// The source is read, and a 32-bit destination zero-extended, whether or not the condition holds.
  @inline(__always) public static func cmovcc<B: Backend, D: Place, S: Place>(
    _ b: inout B, _ condition: Condition, _ destination: D, _ source: S
  ) {
    let y = source.read(&b)
    let x = destination.read(&b)
    let holds = b.condition(condition)
    let result = b.select(holds, y, x)
    destination.write(&b, result)
  }

  /// AL = [segment:rBX + AL].
  @inline(__always) public static func xlat<B: Backend, A: Width>(
    _ b: inout B, _ address: A.Type, _ segment: ImplicitSegment
  ) {
    let table = b.readRegister(A.self, 24)
    let index = b.readRegister(W8.self, Accumulator.low)
    let offset = b.add(A.self, table, index)
    let base = b.segmentBase(segment)
    let linear = b.add(W64.self, base, offset)
    let byte = b.load(W8.self, linear)
    b.writeRegister(W8.self, Accumulator.low, byte)
  }

  /// CBW, CWDE, CDQE: the lower half of the accumulator is sign-extended to `W`.
  @inline(__always) public static func extendAccumulator<B: Backend, W: Width>(_ b: inout B, _ width: W.Type)
  {
    let whole = b.readRegister(W.self, Accumulator.low)
    let half = b.constant(W.bits / 2)
    let raised = b.shiftLeft(W.self, whole, half)
    let extended = b.shiftRightArithmetic(W.self, raised, half)
    b.writeRegister(W.self, Accumulator.low, extended)
  }

  /// CWD, CDQ, CQO: the sign of the accumulator fills DX, EDX, RDX.
  @inline(__always) public static func extendIntoData<B: Backend, W: Width>(_ b: inout B, _ width: W.Type) {
    let whole = b.readRegister(W.self, Accumulator.low)
    let last = b.constant(W.bits - 1)
    let sign = b.shiftRightArithmetic(W.self, whole, last)
    b.writeRegister(W.self, 16, sign)
  }
}

// MARK: - Flags

extension Semantics {
  @inline(__always) public static func lahf<B: Backend>(_ b: inout B) {
    let flags = b.readFlags()
    b.writeRegister(W8.self, 1, flags)
  }

  @inline(__always) public static func sahf<B: Backend>(_ b: inout B) {
    let flags = b.readRegister(W8.self, 1)
    b.writeFlags(flags, mask: 0xd5)
  }

  @inline(__always) public static func clc<B: Backend>(_ b: inout B) {
    let zero = b.constant(0)
    b.setFlag(.carry, zero)
  }

  @inline(__always) public static func stc<B: Backend>(_ b: inout B) {
    let one = b.constant(1)
    b.setFlag(.carry, one)
  }

  @inline(__always) public static func cmc<B: Backend>(_ b: inout B) {
    let carry = b.flag(.carry)
    let one = b.constant(1)
    let complement = b.exclusiveOr(carry, one)
    b.setFlag(.carry, complement)
  }

  @inline(__always) public static func cld<B: Backend>(_ b: inout B) {
    let zero = b.constant(0)
    b.setFlag(.direction, zero)
  }

  @inline(__always) public static func std<B: Backend>(_ b: inout B) {
    let one = b.constant(1)
    b.setFlag(.direction, one)
  }
}

// MARK: - Stack

/// Offsets of the stack registers into `vt_cpu_state.general`.
enum StackRegisters {
  // PERF: constants of handlers.
  @inline(__always) static var pointer: UInt8 { 32 }
  @inline(__always) static var frame: UInt8 { 40 }
}

extension Semantics {
  /// Stores below RSP, then moves RSP.
  @inline(__always) static func pushValue<B: Backend, W: Width>(
    _ b: inout B, _ width: W.Type, _ value: B.Value
  ) {
    let old = b.readRegister(W64.self, StackRegisters.pointer)
    let bytes = b.constant(W.bits / 8)
    let new = b.subtract(W64.self, old, bytes)
    b.store(W.self, new, value)
    b.writeRegister(W64.self, StackRegisters.pointer, new)
  }

  @inline(__always) public static func push<B: Backend, S: Place>(_ b: inout B, _ source: S) {
    let x = source.read(&b)
    pushValue(&b, S.Size.self, x)
  }

  @inline(__always) public static func pushImmediate<B: Backend, W: Width, S: Place>(
    _ b: inout B, _ width: W.Type, _ source: S
  ) {
    let x = source.read(&b)
    let extended = b.signExtend(S.Size.self, W.self, x)
    pushValue(&b, W.self, extended)
  }

  /// RSP has moved when the destination is written: POP RSP keeps what was popped.
  @inline(__always) public static func pop<B: Backend, W: Width>(_ b: inout B, _ destination: Register<W>) {
    let x = popped(&b, W.self)
    destination.write(&b, x)
  }

  /// The block builder has added the operand's size to the displacement of an address that is based on RSP, because that
  /// is computed with RSP as it is after the pop (SDM volume 2, POP).
  @inline(__always) public static func pop<B: Backend, D: MemoryPlace>(_ b: inout B, _ destination: D) {
    let old = b.readRegister(W64.self, StackRegisters.pointer)
    let bytes = b.constant(D.Size.bits / 8)
    let new = b.add(W64.self, old, bytes)
    let x = b.load(D.Size.self, old)
    destination.write(&b, x)
    b.writeRegister(W64.self, StackRegisters.pointer, new)
  }

  @inline(__always) static func popped<B: Backend, W: Width>(_ b: inout B, _ width: W.Type) -> B.Value {
    let old = b.readRegister(W64.self, StackRegisters.pointer)
    let bytes = b.constant(W.bits / 8)
    let x = b.load(W.self, old)
    let new = b.add(W64.self, old, bytes)
    b.writeRegister(W64.self, StackRegisters.pointer, new)
    return x
  }

  @inline(__always) public static func pushf<B: Backend, W: Width>(_ b: inout B, _ width: W.Type) {
    let flags = b.readFlags()
    // RF and VM read as 0.
    let mask = b.constant(0xfc_ffff)
    let image = b.and(flags, mask)
    pushValue(&b, W.self, image)
  }

  /// The 16-bit form leaves AC and ID.
  @inline(__always) public static func popf<B: Backend, W: Width>(_ b: inout B, _ width: W.Type) {
    let flags = popped(&b, W.self)
    b.writeFlags(flags, mask: W.bits == 16 ? LazyFlags.userMask & 0xffff : LazyFlags.userMask)
  }

  @inline(__always) public static func leave<B: Backend, W: Width>(_ b: inout B, _ width: W.Type) {
    let frame = b.readRegister(W64.self, StackRegisters.frame)
    let bytes = b.constant(W.bits / 8)
    let x = b.load(W.self, frame)
    let new = b.add(W64.self, frame, bytes)
    b.writeRegister(W64.self, StackRegisters.pointer, new)
    b.writeRegister(W.self, StackRegisters.frame, x)
  }

  @inline(__always) public static func enter<B: Backend, W: Width, S: Place, L: Place>(
    _ b: inout B, _ width: W.Type, _ size: S, _ level: L
  ) {
    let size = size.read(&b)
    let level = level.read(&b)
    b.enterFrame(W.self, size: size, level: level)
  }

  @inline(__always) public static func pushSegment<B: Backend, W: Width>(
    _ b: inout B, _ width: W.Type, _ number: UInt8
  ) {
    let selector = b.readSegment(number)
    pushValue(&b, W.self, selector)
  }

  @inline(__always) public static func popSegment<B: Backend, W: Width>(
    _ b: inout B, _ width: W.Type, _ number: UInt8
  ) {
    let old = b.readRegister(W64.self, StackRegisters.pointer)
    let bytes = b.constant(W.bits / 8)
    let selector = b.load(W16.self, old)
    let new = b.add(W64.self, old, bytes)
    b.writeSegment(number, selector)
    b.writeRegister(W64.self, StackRegisters.pointer, new)
  }

  @inline(__always) public static func movFromSegment<B: Backend, D: Place>(
    _ b: inout B, _ destination: D, _ segment: SegmentRegister
  ) {
    let selector = b.readSegment(segment.number)
    destination.write(&b, selector)
  }

  @inline(__always) public static func movToSegment<B: Backend, S: Place>(
    _ b: inout B, _ segment: SegmentRegister, _ source: S
  ) {
    let selector = source.read(&b)
    b.writeSegment(segment.number, selector)
  }

  /// LSS, LFS, LGS: an offset, and behind it a selector.
  @inline(__always) public static func loadFar<B: Backend, W: Width, S: AddressablePlace>(
    _ b: inout B, _ segment: UInt8, _ destination: Register<W>, _ source: S
  ) {
    let address = source.address(&b)
    let offset = b.load(W.self, address)
    let bytes = b.constant(W.bits / 8)
    let behind = b.add(W64.self, address, bytes)
    let selector = b.load(W16.self, behind)
    b.writeSegment(segment, selector)
    b.writeRegister(W.self, destination.offset, offset)
  }
}
