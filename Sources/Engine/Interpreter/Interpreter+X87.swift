// x87 instructions in the interpreter: stack, arithmetic, comparison. Every primitive has two paths.
//
// The usual one: all exceptions masked, the registers it reads full, the one it pushes empty. The host
// executes the instruction under the guest's rounding and precision control, its flags are or-ed to the
// guest's. Everything else, and everything on hosts that are not x86-64, leaves through `x87Divert`
// (Interpreter+X87Exact.swift). Handlers must have no local variable whose address is taken: it would cost
// them the tail call.
//
// While guest code runs the host's control word is the guest's with all exceptions masked, and the host's
// sticky flags are a subset of the guest's (CHost/x87.h): whoever changes x87_control or clears flags in
// x87_status calls `x87Reload`.

import CHost
import X86

/// Bits of the status word (SDM volume 1, section 8.1.3).
enum X87StatusBit {
  // PERF: constants of handlers.
  @inline(__always) static var invalid: UInt16 { 0x01 }
  @inline(__always) static var denormal: UInt16 { 0x02 }
  @inline(__always) static var zeroDivide: UInt16 { 0x04 }
  @inline(__always) static var overflow: UInt16 { 0x08 }
  @inline(__always) static var underflow: UInt16 { 0x10 }
  /// The six exceptions; their masks have the same places in the control word.
  @inline(__always) static var exceptions: UInt16 { 0x3f }
  @inline(__always) static var stackFault: UInt16 { 0x40 }
  @inline(__always) static var errorSummary: UInt16 { 0x80 }
  /// Error summary and busy, which mirrors it.
  @inline(__always) static var summaries: UInt16 { 0x8080 }
  @inline(__always) static var c0: UInt16 { 0x0100 }
  @inline(__always) static var c1: UInt16 { 0x0200 }
  @inline(__always) static var c2: UInt16 { 0x0400 }
  @inline(__always) static var c3: UInt16 { 0x4000 }
  @inline(__always) static var top: UInt16 { 0x3800 }
  @inline(__always) static var conditions: UInt16 { 0x4700 }
}

extension Interpreter {
  // PERF: the usual path of these is about ten host instructions around the x87 ones.

  // MARK: - The stack

  /// The register at `position` from the top.
  @inline(__always) func x87Register(_ position: UInt8) -> UnsafeMutablePointer<X87Register> {
    // SAFETY: `& 7` stays within the eight registers.
    vt_x87_registers(cpu) + Int((cpu.pointee.x87_top &+ UInt16(position)) & 7)
  }

  /// Copies a register in the pieces in which the host stores one: a load across them would wait.
  @inline(__always) func x87Copy(
    _ source: UnsafeMutablePointer<X87Register>, to destination: UnsafeMutablePointer<X87Register>
  ) {
    let signExponent = source.pointee.sign_exponent
    destination.pointee.significand = source.pointee.significand
    destination.pointee.sign_exponent = signExponent
  }

  @inline(__always) func x87Bit(_ position: UInt8) -> UInt16 {
    1 &<< ((cpu.pointee.x87_top &+ UInt16(position)) & 7)
  }

  /// Whether the usual path applies: nothing unmasked, the stack positions in `full` (a bit each) are full
  /// and those in `empty` are empty.
  @inline(__always) func x87IsUsual(full: UInt16, empty: UInt16 = 0) -> Bool {
    #if arch(x86_64)
      let tags = (cpu.pointee.x87_tags | cpu.pointee.x87_tags &<< 8) &>> (cpu.pointee.x87_top & 7)
      return cpu.pointee.x87_control & X87StatusBit.exceptions == X87StatusBit.exceptions
        && tags & (full | empty) == full
    #else
      return false
    #endif
  }

  @inline(__always) func x87Push() -> UnsafeMutablePointer<X87Register> {
    let top = (cpu.pointee.x87_top &- 1) & 7
    cpu.pointee.x87_top = top
    cpu.pointee.x87_tags |= 1 &<< top
    return vt_x87_registers(cpu) + Int(top)
  }

  @inline(__always) func x87Pop() {
    let top = cpu.pointee.x87_top & 7
    cpu.pointee.x87_tags &= ~(1 &<< top)
    cpu.pointee.x87_top = (top &+ 1) & 7
  }

  @inline(__always) func x87Pop(_ count: Int) {
    if count > 0 { x87Pop() }
    if count > 1 { x87Pop() }
  }

  /// Puts condition codes and flags of a masked operation into the status word.
  @inline(__always) func x87Commit(_ status: UInt32, _ conditions: UInt16 = X87StatusBit.c1) {
    let found = UInt16(truncatingIfNeeded: status)
    cpu.pointee.x87_status =
      (cpu.pointee.x87_status & ~conditions) | (found & (conditions | X87StatusBit.exceptions))
  }

  /// Remembers the instruction, as FNSTENV will tell it. The block builder has put the opcode's eleven bits
  /// into the immediate operand, which x87 instructions do not have.
  @inline(__always) func x87Note() {
    cpu.pointee.x87_instruction_pointer = operation.pointee.rip
    cpu.pointee.x87_opcode = UInt16(truncatingIfNeeded: operation.pointee.immediate)
  }

  @inline(__always) func x87Note(_ address: UInt64) {
    x87Note()
    cpu.pointee.x87_data_pointer = address
  }

  @inline(__always) public func x87Wait() {
    if cpu.pointee.x87_status & X87StatusBit.errorSummary != 0 { raise(.x87FloatingPoint) }
  }

  // MARK: - Operands in memory

  @inline(__always) var x87Scratch: UnsafeMutablePointer<X87Memory> { vt_x87_scratch(cpu) }

  /// Reads a memory operand into the scratch.
  @inline(__always) func x87Read<F: X87Format>(_ format: F.Type, _ address: UInt64) {
    switch F.bytes {
    case 2: x87Scratch.pointee.low = load(W16.self, address)
    case 4: x87Scratch.pointee.low = load(W32.self, address)
    case 8: x87Scratch.pointee.low = load(W64.self, address)
    default:
      x87Scratch.pointee.low = load(W64.self, address)
      x87Scratch.pointee.high = load(W16.self, address &+ 8)
    }
  }

  /// Writes a memory operand from the scratch.
  @inline(__always) func x87Write(bytes: Int, _ address: UInt64) {
    let value = x87Scratch.pointee
    switch bytes {
    case 2: store(W16.self, address, value.low)
    case 4: store(W32.self, address, value.low)
    case 8: store(W64.self, address, value.low)
    default:
      // The first store must not happen when the second would fault: at the first byte of its page.
      if address & 0xfff > 0xff6 {
        vt_probe_write(host(address))
        vt_probe_write(host((address &+ 9) & ~0xfff))
      }
      store(W64.self, address, value.low)
      store(W16.self, address &+ 8, value.high)
    }
  }

  /// Leaves the usual path: `x87Slowly` completes the instruction.
  @inline(__always) func x87Divert(_ step: X87Step) {
    vt_x87_divert(x87SlowPath, step.packed, operation, cpu, window)
  }

  // MARK: - Arithmetic

  @inline(__always) public func x87Arithmetic(
    _ operation: X87Arithmetic, destination: UInt8, source: UInt8, pops: Bool
  ) {
    x87Note()
    #if arch(x86_64)
      if x87IsUsual(full: 1 &<< UInt16(destination) | 1 &<< UInt16(source)) {
        let target = x87Register(destination)
        x87Commit(operation.run(target, target, x87Register(source)))
        if pops { x87Pop() }
        return
      }
    #endif
    let reverse = operation.isReverse
    x87Divert(
      X87Step(
        operation.number, a: reverse ? source : destination, b: reverse ? destination : source,
        destination: destination, pops: pops ? 1 : 0))
  }

  @inline(__always) public func x87Arithmetic<F: X87Format>(
    _ operation: X87Arithmetic, _ format: F.Type, _ address: UInt64
  ) {
    x87Read(F.self, address)
    x87Note(address)
    #if arch(x86_64)
      if x87IsUsual(full: 1) { return x87Commit(operation.run(F.kind, x87Register(0), x87Scratch)) }
    #endif
    x87Divert(X87Step(operation.number(F.kind), a: 0, destination: 0))
  }

  @inline(__always) public func x87Unary(_ operation: X87Unary) {
    x87Note()
    #if arch(x86_64)
      if x87IsUsual(full: 1) { return x87Commit(operation.run(x87Register(0), x87Register(0))) }
    #endif
    x87Divert(X87Step(operation.number, a: 0, destination: 0))
  }

  @inline(__always) public func x87Trigonometric(_ operation: X87Trigonometric) {
    x87Note()
    let conditions = X87StatusBit.c1 | X87StatusBit.c2
    #if arch(x86_64)
      if x87IsUsual(full: 1) { return x87Commit(operation.run(x87Register(0), x87Register(0)), conditions) }
    #endif
    x87Divert(X87Step(operation.number, a: 0, destination: 0, conditions: conditions))
  }

  @inline(__always) public func x87TrigonometricPush(_ operation: X87TrigonometricPush) {
    x87Note()
    x87Divert(
      X87Step(
        operation.number, a: 0, destination: 0, pushes: true,
        conditions: X87StatusBit.c1 | X87StatusBit.c2))
  }

  @inline(__always) public func x87Extract() {
    x87Note()
    x87Divert(X87Step(vt_x87_operation_extract, a: 0, destination: 0, pushes: true))
  }

  @inline(__always) public func x87BinaryPop(_ operation: X87BinaryPop) {
    x87Note()
    #if arch(x86_64)
      if x87IsUsual(full: 3) {
        x87Commit(operation.run(x87Register(1), x87Register(1), x87Register(0)))
        return x87Pop()
      }
    #endif
    x87Divert(X87Step(operation.number, a: 1, b: 0, destination: 1, pops: 1))
  }

  @inline(__always) public func x87Binary(_ operation: X87Binary) {
    x87Note()
    #if arch(x86_64)
      if x87IsUsual(full: 3) {
        return x87Commit(vt_x87_scale(x87Register(0), x87Register(1), x87Register(0)))
      }
    #endif
    x87Divert(X87Step(vt_x87_operation_scale, a: 1, b: 0, destination: 0))
  }

  @inline(__always) public func x87Remainder(_ operation: X87Remainder) {
    x87Note()
    #if arch(x86_64)
      if x87IsUsual(full: 3) {
        let register = x87Register(0)
        let status = operation.run(register, x87Register(1), register)
        return x87Commit(status, x87QuotientConditions(register.pointee))
      }
    #endif
    x87Divert(X87Step(kind: .remainder, operation.number, a: 1, b: 0, destination: 0))
  }

  /// A remainder sets all condition codes to bits of the quotient, but C0 and C3 stay when the result is not
  /// a number.
  @inline(__always) func x87QuotientConditions(_ result: X87Register) -> UInt16 {
    result.sign_exponent & 0x7fff == 0x7fff
      ? X87StatusBit.c1 | X87StatusBit.c2 : X87StatusBit.conditions
  }

  @inline(__always) public func x87Sign(inverts: Bool) {
    x87Note()
    if x87IsUsual(full: 1) {
      let register = x87Register(0)
      let value = register.pointee.sign_exponent
      register.pointee.sign_exponent = inverts ? value ^ 0x8000 : value & 0x7fff
      cpu.pointee.x87_status &= ~X87StatusBit.c1
    } else {
      x87Divert(X87Step(kind: .sign, flag: inverts))
    }
  }

  // MARK: - Comparison

  @inline(__always) public func x87Compare(_ comparison: X87Comparison, with source: UInt8, pops: Int) {
    x87Note()
    #if arch(x86_64)
      if x87IsUsual(full: 1 | 1 &<< UInt16(source)) {
        x87Commit(comparison.run(x87Register(0), x87Register(source)), X87StatusBit.conditions)
        return x87Pop(pops)
      }
    #endif
    x87Divert(
      X87Step(comparison.number, a: 0, b: source, pops: pops, conditions: X87StatusBit.conditions))
  }

  @inline(__always) public func x87Compare<F: X87Format>(_ format: F.Type, _ address: UInt64, pops: Int) {
    x87Read(F.self, address)
    x87Note(address)
    #if arch(x86_64)
      if x87IsUsual(full: 1) {
        x87Commit(F.kind.compare(x87Register(0), x87Scratch), X87StatusBit.conditions)
        return x87Pop(pops)
      }
    #endif
    x87Divert(X87Step(F.kind.compare, a: 0, pops: pops, conditions: X87StatusBit.conditions))
  }

  @inline(__always) public func x87CompareFlags(_ comparison: X87Comparison, with source: UInt8, pops: Int) {
    x87Note()
    #if arch(x86_64)
      if x87IsUsual(full: 1 | 1 &<< UInt16(source)) {
        let status = comparison.run(x87Register(0), x87Register(source))
        x87Commit(status, 0)
        x87SetFlags(conditions: UInt16(truncatingIfNeeded: status))
        return x87Pop(pops)
      }
    #endif
    x87Divert(
      X87Step(
        kind: .compareFlags, comparison.number, a: 0, b: source, pops: pops,
        conditions: X87StatusBit.conditions))
  }

  /// ZF, PF and CF as C3, C2 and C0 say; OF, SF and AF cleared. Written as lazy flags (X86/LazyFlags): the
  /// result is 0 or 1, which has parity 1 or 0; bit 8 of the carries corrects it.
  @inline(__always) func x87SetFlags(conditions: UInt16) {
    let zero = UInt64(conditions &>> 14 & 1)
    let parity = UInt64(conditions &>> 10 & 1)
    let carry = UInt64(conditions &>> 8 & 1)
    cpu.pointee.flags_result = zero ^ 1
    cpu.pointee.flags_carries = carry &<< 63 | carry &<< 62 | (zero ^ parity) &<< 8
  }

  @inline(__always) public func x87Test() {
    x87Note()
    #if arch(x86_64)
      if x87IsUsual(full: 1) {
        return x87Commit(vt_x87_test(x87Register(0)), X87StatusBit.conditions)
      }
    #endif
    x87Divert(X87Step(vt_x87_operation_test, a: 0, conditions: X87StatusBit.conditions))
  }

  @inline(__always) public func x87Examine() {
    x87Note()
    x87Divert(X87Step(kind: .examine))
  }

  // MARK: - Load, store, move

  @inline(__always) public func x87Load<F: X87Format>(_ format: F.Type, _ address: UInt64) {
    x87Read(F.self, address)
    x87Note(address)
    if x87IsUsual(full: 0, empty: 0x80) {
      #if arch(x86_64)
        x87Commit(F.kind.load(x87Push(), x87Scratch) & ~UInt32(X87StatusBit.c1))
      #endif
    } else {
      let kind: X87Step.Kind = F.kind == .extended ? .loadExtended : .operation
      x87Divert(X87Step(kind: kind, F.kind.load, pushes: true))
    }
  }

  @inline(__always) public func x87Load(from source: UInt8) {
    x87Note()
    if source != 7 && x87IsUsual(full: 1 &<< UInt16(source), empty: 0x80) {
      let register = x87Register(source)
      x87Copy(register, to: x87Push())
      cpu.pointee.x87_status &= ~X87StatusBit.c1
    } else {
      x87Divert(X87Step(kind: .load, a: source))
    }
  }

  @inline(__always) public func x87LoadConstant(_ constant: X87Constant) {
    x87Note()
    if x87IsUsual(full: 0, empty: 0x80) {
      #if arch(x86_64)
        constant.run(x87Push())
        cpu.pointee.x87_status &= ~X87StatusBit.c1
      #endif
    } else {
      x87Divert(X87Step(constant.number, pushes: true))
    }
  }

  @inline(__always) public func x87Store<F: X87Format>(_ format: F.Type, _ address: UInt64, pops: Bool) {
    if x87IsUsual(full: 1) {
      #if arch(x86_64)
        let status = F.kind.store(x87Scratch, x87Register(0))
        x87Write(bytes: F.bytes, address)
        x87Note(address)
        x87Commit(status)
        if pops { x87Pop() }
      #endif
    } else {
      x87Scratch.pointee.high = address
      let kind: X87Step.Kind = F.kind == .extended ? .storeExtended : .storeMemory
      // The place of the second operand tells the size.
      x87Divert(
        X87Step(kind: kind, F.kind.store, a: 0, b: UInt8(truncatingIfNeeded: F.bytes), pops: pops ? 1 : 0))
    }
  }

  @inline(__always) public func x87Store(to destination: UInt8, pops: Bool) {
    x87Note()
    if x87IsUsual(full: 1) {
      x87Copy(x87Register(0), to: x87Register(destination))
      cpu.pointee.x87_tags |= x87Bit(destination)
      cpu.pointee.x87_status &= ~X87StatusBit.c1
      if pops { x87Pop() }
    } else {
      x87Divert(X87Step(kind: .store, destination: destination, pops: pops ? 1 : 0))
    }
  }

  @inline(__always) public func x87StoreUnchecked(to destination: UInt8) {
    x87Note()
    x87Divert(X87Step(kind: .storeUnchecked, destination: destination))
  }

  @inline(__always) public func x87Exchange(with source: UInt8) {
    x87Note()
    if x87IsUsual(full: 1 | 1 &<< UInt16(source)) {
      let top = x87Register(0)
      let other = x87Register(source)
      let significand = top.pointee.significand
      let signExponent = top.pointee.sign_exponent
      x87Copy(other, to: top)
      other.pointee.significand = significand
      other.pointee.sign_exponent = signExponent
      cpu.pointee.x87_status &= ~X87StatusBit.c1
    } else {
      x87Divert(X87Step(kind: .exchange, a: source))
    }
  }

  @inline(__always) public func x87Move(if condition: Bool, from source: UInt8) {
    x87Note()
    if x87IsUsual(full: 1 | 1 &<< UInt16(source)) {
      if condition { x87Copy(x87Register(source), to: x87Register(0)) }
    } else {
      x87Divert(X87Step(kind: .move, a: source, flag: condition))
    }
  }

  @inline(__always) public func x87RotateStack(by count: UInt8) {
    x87Note()
    cpu.pointee.x87_top = (cpu.pointee.x87_top &+ UInt16(count)) & 7
    cpu.pointee.x87_status &= ~X87StatusBit.c1
  }

  @inline(__always) public func x87Free(_ register: UInt8, pops: Bool) {
    x87Note()
    cpu.pointee.x87_tags &= ~x87Bit(register)
    cpu.pointee.x87_status &= ~X87StatusBit.c1
    if pops { x87Pop() }
  }

  @inline(__always) public func x87NoOperation() { x87Note() }
}
