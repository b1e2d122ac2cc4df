// The complete behaviour of x87 instructions, off the usual path: stack faults, unmasked exceptions, and all
// of it on hosts that are not x86-64. An instruction is described by an `X87Step`; evaluating it yields an
// outcome and changes nothing, so that a store to guest memory that faults leaves no trace; completing it
// writes registers and status.
//
// Responses follow SDM volume 1, sections 8.4 and 8.5: an unmasked invalid operation, denormal operand or
// division by zero leaves operands and stack as they were; an unmasked overflow or underflow delivers a
// biased result to a register but nothing to memory; the error is raised at the next waiting instruction
// (`x87Wait`).

import CHost
import X86

/// What the exact path has to know of an instruction. Positions are counted from the top of stack before it.
/// A handler passes it as one word, which is mostly a constant:
///
///      63      56      48      40      32      24      16              0
///     │ kind  │ oper. │   a   │   b   │ dest. │p f pops│  conditions    │
struct X87Step {
  /// What sort of instruction it is; `operation` is the rule, the others have a function of their own.
  enum Kind: UInt8 {
    case operation, remainder, compareFlags, sign, examine, loadExtended, load
    case storeMemory, storeExtended, store, storeUnchecked, exchange, move
  }

  /// No operand, no destination.
  static var none: UInt8 { 0xff }

  let packed: UInt64

  init(packed: UInt64) { self.packed = packed }

  // PERF: built from constants in a handler; must fold.
  @inline(__always) init(
    kind: Kind = .operation, _ operation: vt_x87_operation = vt_x87_operation_add, a: UInt8 = 0xff,
    b: UInt8 = 0xff, destination: UInt8 = 0xff, pushes: Bool = false, flag: Bool = false, pops: Int = 0,
    conditions: UInt16 = X87StatusBit.c1
  ) {
    let first = UInt64(kind.rawValue) &<< 56 | UInt64(operation.rawValue & 0xff) &<< 48
    let places = UInt64(a) &<< 40 | UInt64(b) &<< 32 | UInt64(destination) &<< 24
    let bits = UInt64(pushes ? 1 : 0) &<< 23 | UInt64(flag ? 1 : 0) &<< 22
    packed = first | places | bits | UInt64(truncatingIfNeeded: pops) &<< 16 | UInt64(conditions)
  }

  var kind: Kind { Kind(rawValue: UInt8(truncatingIfNeeded: packed &>> 56)) ?? .operation }
  var operation: vt_x87_operation {
    vt_x87_operation(rawValue: UInt32(truncatingIfNeeded: packed &>> 48) & 0xff)
  }
  var a: UInt8 { UInt8(truncatingIfNeeded: packed &>> 40) }
  var b: UInt8 { UInt8(truncatingIfNeeded: packed &>> 32) }
  var destination: UInt8 { UInt8(truncatingIfNeeded: packed &>> 24) }
  var pushes: Bool { packed & 1 &<< 23 != 0 }
  /// FCHS and not FABS; the condition of FCMOVcc.
  var flag: Bool { packed & 1 &<< 22 != 0 }
  var pops: Int { Int(packed &>> 16 & 3) }
  /// The condition codes that the instruction sets.
  var conditions: UInt16 { UInt16(truncatingIfNeeded: packed) }

  /// The size of the memory operand of a store.
  var bytes: Int { Int(b) }
  var storesMemory: Bool { kind == .storeMemory || kind == .storeExtended }

  func with(conditions: UInt16) -> X87Step {
    X87Step(packed: packed & ~0xffff | UInt64(conditions))
  }

  /// C2 tells that the operand was out of range, and then nothing is written.
  var isTrigonometric: Bool {
    switch operation {
    case vt_x87_operation_sine, vt_x87_operation_cosine, vt_x87_operation_sine_cosine,
      vt_x87_operation_tangent:
      true
    default: false
    }
  }
}

/// Completes an instruction that left its usual path: `vt_x87_path` in CHost/x87.h.
@c(vt_x87_slow_path)
func x87SlowPath(
  _ step: UInt64, _ operation: UnsafePointer<Operation>?, _ cpu: UnsafeMutablePointer<CPUState>?,
  _ window: UnsafeMutableRawPointer?
) {
  guard let operation, let cpu, let window else { return }
  Interpreter(operation, cpu, window).x87Slowly(X87Step(packed: step))
}

/// What an instruction will do to the unit.
struct X87Outcome {
  /// Exception flags, stack fault, condition codes.
  var status: UInt16 = 0
  /// False when an unmasked exception prevents the instruction: only the status word changes.
  var completes = true
  /// The top of stack after the operation, and the register below.
  var first = X87Register.indefinite
  var second = X87Register.indefinite
}

extension X87Register {
  init(significand: UInt64, signExponent: UInt16) {
    self.init(significand: significand, sign_exponent: signExponent, padding: (0, 0, 0))
  }

  /// The masked response to an invalid operation: a quiet NaN (SDM volume 1, table 4-3).
  static var indefinite: X87Register { X87Register(significand: 0xc000_0000_0000_0000, signExponent: 0xffff) }
}

extension Interpreter {
  /// Copies the host's view of control word and flags from the guest's; after either changed otherwise than
  /// by arithmetic.
  func x87Reload() { vt_x87_enter(cpu.pointee.x87_control) }

  func x87IsEmpty(_ position: UInt8) -> Bool { cpu.pointee.x87_tags & x87Bit(position) == 0 }

  func x87IsMasked(_ exception: UInt16) -> Bool { cpu.pointee.x87_control & exception != 0 }

  /// The outcome of a stack fault: C1 tells an overflow from an underflow.
  func x87StackFault(overflow: Bool = false, conditions: UInt16 = 0) -> X87Outcome {
    var outcome = X87Outcome()
    outcome.status =
      X87StatusBit.invalid | X87StatusBit.stackFault | (overflow ? X87StatusBit.c1 : 0) | conditions
    outcome.completes = x87IsMasked(X87StatusBit.invalid)
    return outcome
  }

  // MARK: - Steps

  func x87Slowly(_ step: X87Step) {
    switch step.kind {
    case .operation: x87Complete(step, x87Evaluate(step, x87Scratch))
    case .remainder: x87RemainderSlowly(step)
    case .compareFlags: x87CompareFlagsSlowly(step)
    case .sign: x87SignSlowly(inverts: step.flag)
    case .examine: x87ExamineSlowly()
    case .loadExtended: x87LoadExtendedSlowly()
    case .load: x87LoadSlowly(from: step.a)
    case .storeMemory, .storeExtended: x87StoreMemorySlowly(step)
    case .store: x87StoreSlowly(to: step.destination, pops: step.pops != 0)
    case .storeUnchecked: x87StoreUncheckedSlowly(to: step.destination)
    case .exchange: x87ExchangeSlowly(with: step.a)
    case .move: x87MoveSlowly(if: step.flag, from: step.a)
    }
  }

  func x87Evaluate(_ step: X87Step, _ memory: UnsafeMutablePointer<X87Memory>) -> X87Outcome {
    let hasB = step.b != X87Step.none && !step.storesMemory
    if (step.a != X87Step.none && x87IsEmpty(step.a)) || (hasB && x87IsEmpty(step.b)) {
      let unordered = X87StatusBit.c0 | X87StatusBit.c2 | X87StatusBit.c3
      let compares = step.conditions == X87StatusBit.conditions && step.destination == X87Step.none
      let outcome = x87StackFault(conditions: compares ? unordered : 0)
      // What the store of an indefinite value yields is the masked response; rounding stays the guest's.
      let masked = cpu.pointee.x87_control | X87StatusBit.exceptions
      if step.storesMemory { _ = x87Run(step.operation, control: masked, .indefinite, .indefinite, memory) }
      return outcome
    }
    if step.pushes && !x87IsEmpty(7) { return x87StackFault(overflow: true) }
    let a = step.a == X87Step.none ? X87Register() : x87Register(step.a).pointee
    let b = hasB ? x87Register(step.b).pointee : X87Register()
    var outcome = x87Run(step.operation, control: cpu.pointee.x87_control, a, b, memory)
    var preventing = X87StatusBit.invalid | X87StatusBit.denormal | X87StatusBit.zeroDivide
    if step.storesMemory { preventing |= X87StatusBit.overflow | X87StatusBit.underflow }
    // A load tells by the top of stack: some processors push a denormal operand although that is unmasked.
    let isLoad = step.pushes && step.a == X87Step.none
    let prevented = outcome.status & ~cpu.pointee.x87_control & preventing != 0
    outcome.completes = isLoad ? outcome.status & X87StatusBit.top != 0 : !prevented
    return outcome
  }

  /// Runs one operation on the host's unit or on the portable one.
  func x87Run(
    _ operation: vt_x87_operation, control: UInt16, _ a: X87Register, _ b: X87Register,
    _ memory: UnsafeMutablePointer<X87Memory>
  ) -> X87Outcome {
    #if arch(x86_64)
      var a = a
      var b = b
      var results = (X87Register(), X87Register())
      let status = withUnsafeMutablePointer(to: &results) { pointer in
        // SAFETY: a tuple of two registers is laid out as an array of two.
        pointer.withMemoryRebound(to: X87Register.self, capacity: 2) {
          vt_x87_exact(operation, control, $0, &a, &b, memory)
        }
      }
      return X87Outcome(
        status: UInt16(truncatingIfNeeded: status), completes: true, first: results.0, second: results.1)
    #else
      return PortableX87.run(operation, control: control, a, b, memory)
    #endif
  }

  func x87Complete(_ step: X87Step, _ outcome: X87Outcome) {
    let flags = outcome.status & (X87StatusBit.exceptions | X87StatusBit.stackFault)
    x87SetStatus(
      (cpu.pointee.x87_status & ~step.conditions) | (outcome.status & step.conditions) | flags)
    if !outcome.completes { return }
    let outOfRange = step.isTrigonometric && outcome.status & X87StatusBit.c2 != 0
    if step.destination != X87Step.none && !outOfRange {
      x87Register(step.destination).pointee = step.pushes ? outcome.second : outcome.first
      cpu.pointee.x87_tags |= x87Bit(step.destination)
    }
    if step.pushes && !outOfRange { x87Push().pointee = outcome.first }
    x87Pop(step.pops)
  }

  /// Stores the status word with error summary and busy as flags and masks make them.
  func x87SetStatus(_ status: UInt16) {
    let pending = status & ~cpu.pointee.x87_control & X87StatusBit.exceptions != 0
    cpu.pointee.x87_status =
      (status & ~X87StatusBit.summaries) | (pending ? X87StatusBit.summaries : 0)
  }

  // MARK: - Instructions without arithmetic

  /// Adds an outcome's flags and C1 to the status word; returns whether the instruction goes on.
  private func x87Note(_ outcome: X87Outcome) -> Bool {
    x87SetStatus((cpu.pointee.x87_status & ~X87StatusBit.c1) | outcome.status)
    return outcome.completes
  }

  func x87SignSlowly(inverts: Bool) {
    let register = x87Register(0)
    if x87IsEmpty(0) {
      guard x87Note(x87StackFault()) else { return }
      register.pointee = .indefinite
      cpu.pointee.x87_tags |= x87Bit(0)
      return
    }
    let value = register.pointee.sign_exponent
    register.pointee.sign_exponent = inverts ? value ^ 0x8000 : value & 0x7fff
    cpu.pointee.x87_status &= ~X87StatusBit.c1
  }

  func x87CompareFlagsSlowly(_ step: X87Step) {
    let outcome = x87Evaluate(step, x87Scratch)
    let stackFault = outcome.status & X87StatusBit.stackFault != 0
    // Silicon sets the flags even when an unmasked exception keeps it from popping.
    x87SetFlags(conditions: outcome.status)
    x87Complete(step.with(conditions: stackFault ? X87StatusBit.c1 : 0), outcome)
  }

  func x87RemainderSlowly(_ step: X87Step) {
    let outcome = x87Evaluate(step, x87Scratch)
    let conditions =
      outcome.completes ? x87QuotientConditions(outcome.first) : X87StatusBit.c1 | X87StatusBit.c2
    x87Complete(step.with(conditions: conditions), outcome)
  }

  /// FXAM: the class of ST(0) in C3, C2, C0 and its sign in C1 (SDM volume 2, table 3-42).
  func x87ExamineSlowly() {
    let register = x87Register(0).pointee
    var conditions = register.sign_exponent & 0x8000 != 0 ? X87StatusBit.c1 : 0
    let exponent = register.sign_exponent & 0x7fff
    if x87IsEmpty(0) {
      conditions |= X87StatusBit.c3 | X87StatusBit.c0
    } else if exponent == 0 {
      conditions |= X87StatusBit.c3 | (register.significand == 0 ? 0 : X87StatusBit.c2)
    } else if register.significand &>> 63 == 0 {
      // Unsupported: no other code.
    } else if exponent == 0x7fff {
      conditions |= X87StatusBit.c0 | (register.significand &<< 1 == 0 ? X87StatusBit.c2 : 0)
    } else {
      conditions |= X87StatusBit.c2
    }
    cpu.pointee.x87_status = (cpu.pointee.x87_status & ~X87StatusBit.conditions) | conditions
  }

  func x87LoadSlowly(_ value: X87Register) {
    var value = value
    if !x87IsEmpty(7) {
      guard x87Note(x87StackFault(overflow: true)) else { return }
      value = .indefinite
    } else {
      cpu.pointee.x87_status &= ~X87StatusBit.c1
    }
    x87Push().pointee = value
  }

  func x87LoadSlowly(from source: UInt8) {
    if x87IsEmpty(source) {
      guard x87Note(x87StackFault()) else { return }
      x87Push().pointee = .indefinite
    } else {
      x87LoadSlowly(x87Register(source).pointee)
    }
  }

  func x87LoadExtendedSlowly() {
    let value = x87Scratch.pointee
    x87LoadSlowly(
      X87Register(significand: value.low, signExponent: UInt16(truncatingIfNeeded: value.high)))
  }

  /// A store to memory; its address is in the scratch.
  func x87StoreMemorySlowly(_ step: X87Step) {
    let address = x87Scratch.pointee.high
    let outcome =
      step.kind == .storeExtended ? x87EvaluateExtendedStore() : x87Evaluate(step, x87Scratch)
    if outcome.completes {
      x87Write(bytes: step.bytes, address)
    } else {
      // A store that an unmasked exception suppresses still needs a place to go to.
      probeWrite(address, count: step.bytes)
    }
    x87Note(address)
    x87Complete(step, outcome)
  }

  /// FSTP m80: no arithmetic, but an empty register yields the indefinite value.
  func x87EvaluateExtendedStore() -> X87Outcome {
    let isEmpty = x87IsEmpty(0)
    let register = isEmpty ? X87Register.indefinite : x87Register(0).pointee
    x87Scratch.pointee = X87Memory(low: register.significand, high: UInt64(register.sign_exponent))
    return isEmpty ? x87StackFault() : X87Outcome()
  }

  func x87StoreUncheckedSlowly(to destination: UInt8) {
    cpu.pointee.x87_status &= ~X87StatusBit.c1
    if !x87IsEmpty(0) {
      x87Register(destination).pointee = x87Register(0).pointee
      cpu.pointee.x87_tags |= x87Bit(destination)
    }
    x87Pop()
  }

  func x87StoreSlowly(to destination: UInt8, pops: Bool) {
    var value = x87Register(0).pointee
    if x87IsEmpty(0) {
      guard x87Note(x87StackFault()) else { return }
      value = .indefinite
    } else {
      cpu.pointee.x87_status &= ~X87StatusBit.c1
    }
    x87Register(destination).pointee = value
    cpu.pointee.x87_tags |= x87Bit(destination)
    if pops { x87Pop() }
  }

  func x87ExchangeSlowly(with source: UInt8) {
    if x87IsEmpty(0) || x87IsEmpty(source) {
      guard x87Note(x87StackFault()) else { return }
    } else {
      cpu.pointee.x87_status &= ~X87StatusBit.c1
    }
    let top = x87IsEmpty(0) ? X87Register.indefinite : x87Register(0).pointee
    let other = x87IsEmpty(source) ? X87Register.indefinite : x87Register(source).pointee
    x87Register(0).pointee = other
    x87Register(source).pointee = top
    cpu.pointee.x87_tags |= x87Bit(0) | x87Bit(source)
  }

  func x87MoveSlowly(if condition: Bool, from source: UInt8) {
    if x87IsEmpty(0) || x87IsEmpty(source) {
      guard x87Note(x87StackFault()) else { return }
      x87Register(0).pointee = .indefinite
      cpu.pointee.x87_tags |= x87Bit(0)
    } else if condition {
      x87Register(0).pointee = x87Register(source).pointee
    }
  }
}
