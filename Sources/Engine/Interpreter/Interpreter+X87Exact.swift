// The complete behaviour of x87 instructions, off the usual path: stack faults, unmasked exceptions, and all of it on hosts
// that are not x86-64. An instruction is described by an `X87Step`; evaluating it yields an outcome and changes
// nothing, so that a store to guest memory that faults leaves no trace; completing it writes registers and status.
//
// Responses follow SDM volume 1, sections 8.4 and 8.5: an unmasked invalid operation, denormal operand or division by zero
// leaves operands and stack as they were; an unmasked overflow or underflow delivers a biased result to a
// register but nothing to memory; the error is raised at the next waiting instruction (`x87Wait`).

import CHost
import X86

/// What the exact path has to know of an instruction. Positions are counted from the top of stack before it.
struct X87Step {
  /// No operand, no destination.
  static var none: UInt8 { 0xff }

  let operation: vt_x87_operation
  let a: UInt8
  let b: UInt8
  let destination: UInt8
  let pushes: Bool
  let storing: Bool
  let pops: UInt8
  /// The condition codes that the instruction sets.
  let conditions: UInt16

  /// C2 tells that the operand was out of range, and then nothing is written.
  var isTrigonometric: Bool {
    switch operation {
    case vt_x87_operation_sine, vt_x87_operation_cosine, vt_x87_operation_sine_cosine,
      vt_x87_operation_tangent:
      true
    default: false
    }
  }

  // PERF: built from constants in a handler; must fold.
  @inline(__always) init(
    _ operation: vt_x87_operation, a: UInt8 = 0xff, b: UInt8 = 0xff, destination: UInt8 = 0xff,
    pushes: Bool = false, pops: Int = 0, conditions: UInt16 = X87StatusBit.c1, storing: Bool = false
  ) {
    self.operation = operation
    self.a = a
    self.b = b
    self.destination = destination
    self.pushes = pushes
    self.storing = storing
    self.pops = UInt8(truncatingIfNeeded: pops)
    self.conditions = conditions
  }
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
  /// Copies the host's view of control word and flags from the guest's; after either changed otherwise than by
  /// arithmetic.
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

  @inline(never) func x87Perform(_ step: X87Step, _ memory: X87Memory = X87Memory()) {
    var memory = memory
    x87Complete(step, x87Evaluate(step, &memory))
  }

  @inline(never) func x87Evaluate(_ step: X87Step, _ memory: inout X87Memory) -> X87Outcome {
    if (step.a != X87Step.none && x87IsEmpty(step.a)) || (step.b != X87Step.none && x87IsEmpty(step.b)) {
      let unordered = X87StatusBit.c0 | X87StatusBit.c2 | X87StatusBit.c3
      let compares = step.conditions == X87StatusBit.conditions && step.destination == X87Step.none
      let outcome = x87StackFault(conditions: compares ? unordered : 0)
      // What the store of an indefinite value yields is the masked response.
      if step.storing { _ = x87Run(step.operation, control: 0x37f, .indefinite, .indefinite, &memory) }
      return outcome
    }
    if step.pushes && !x87IsEmpty(7) { return x87StackFault(overflow: true) }
    let a = step.a == X87Step.none ? X87Register() : x87Register(step.a).pointee
    let b = step.b == X87Step.none ? X87Register() : x87Register(step.b).pointee
    var outcome = x87Run(step.operation, control: cpu.pointee.x87_control, a, b, &memory)
    var preventing = X87StatusBit.invalid | X87StatusBit.denormal | X87StatusBit.zeroDivide
    if step.storing { preventing |= X87StatusBit.overflow | X87StatusBit.underflow }
    // A load tells by the top of stack: some processors push a denormal operand although that is unmasked.
    let isLoad = step.pushes && step.a == X87Step.none
    let prevented = outcome.status & ~cpu.pointee.x87_control & preventing != 0
    outcome.completes = isLoad ? outcome.status & X87StatusBit.top != 0 : !prevented
    return outcome
  }

  /// Runs one operation on the host's unit or on the portable one.
  func x87Run(
    _ operation: vt_x87_operation, control: UInt16, _ a: X87Register, _ b: X87Register,
    _ memory: inout X87Memory
  ) -> X87Outcome {
    #if arch(x86_64)
      var a = a
      var b = b
      var results = (X87Register(), X87Register())
      let status = withUnsafeMutablePointer(to: &results) { pointer in
        // SAFETY: a tuple of two registers is laid out as an array of two.
        pointer.withMemoryRebound(to: X87Register.self, capacity: 2) {
          vt_x87_exact(operation, control, $0, &a, &b, &memory)
        }
      }
      return X87Outcome(
        status: UInt16(truncatingIfNeeded: status), completes: true, first: results.0, second: results.1)
    #else
      return PortableX87.run(operation, control: control, a, b, &memory)
    #endif
  }

  @inline(never) func x87Complete(_ step: X87Step, _ outcome: X87Outcome) {
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
    x87Pop(Int(step.pops))
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

  @inline(never) func x87SignSlowly(inverts: Bool) {
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

  @inline(never) func x87CompareFlagsSlowly(_ step: X87Step) {
    var memory = X87Memory()
    let comparing = X87Step(
      step.operation, a: step.a, b: step.b, pops: Int(step.pops), conditions: X87StatusBit.conditions)
    let outcome = x87Evaluate(comparing, &memory)
    let stackFault = outcome.status & X87StatusBit.stackFault != 0
    // Silicon sets the flags even when an unmasked exception keeps it from popping.
    x87SetFlags(conditions: outcome.status)
    x87Complete(
      X87Step(
        step.operation, pops: Int(step.pops), conditions: stackFault ? X87StatusBit.c1 : 0), outcome)
  }

  @inline(never) func x87RemainderSlowly(_ step: X87Step) {
    var memory = X87Memory()
    let outcome = x87Evaluate(step, &memory)
    let conditions =
      outcome.completes ? x87QuotientConditions(outcome.first) : X87StatusBit.c1 | X87StatusBit.c2
    x87Complete(
      X87Step(step.operation, a: step.a, b: step.b, destination: 0, conditions: conditions), outcome)
  }

  /// FXAM: the class of ST(0) in C3, C2, C0 and its sign in C1 (SDM volume 2, table 3-42).
  @inline(never) func x87ExamineSlowly() {
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

  @inline(never) func x87LoadSlowly(_ value: X87Register) {
    var value = value
    if !x87IsEmpty(7) {
      guard x87Note(x87StackFault(overflow: true)) else { return }
      value = .indefinite
    } else {
      cpu.pointee.x87_status &= ~X87StatusBit.c1
    }
    x87Push().pointee = value
  }

  @inline(never) func x87LoadSlowly(from source: UInt8) {
    if x87IsEmpty(source) {
      guard x87Note(x87StackFault()) else { return }
      x87Push().pointee = .indefinite
    } else {
      x87LoadSlowly(x87Register(source).pointee)
    }
  }

  /// FSTP m80: no arithmetic, but an empty register yields the indefinite value.
  @inline(never) func x87EvaluateExtendedStore(_ value: inout X87Memory) -> X87Outcome {
    let isEmpty = x87IsEmpty(0)
    let register = isEmpty ? X87Register.indefinite : x87Register(0).pointee
    value = X87Memory(low: register.significand, high: UInt64(register.sign_exponent))
    return isEmpty ? x87StackFault() : X87Outcome()
  }

  @inline(never) func x87StoreSlowly(to destination: UInt8, pops: Bool) {
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

  @inline(never) func x87ExchangeSlowly(with source: UInt8) {
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

  @inline(never) func x87MoveSlowly(if condition: Bool, from source: UInt8) {
    if x87IsEmpty(0) || x87IsEmpty(source) {
      guard x87Note(x87StackFault()) else { return }
      x87Register(0).pointee = .indefinite
      cpu.pointee.x87_tags |= x87Bit(0)
    } else if condition {
      x87Register(0).pointee = x87Register(source).pointee
    }
  }
}
