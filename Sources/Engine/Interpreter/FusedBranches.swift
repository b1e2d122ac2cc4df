// A compare or test of registers together with the conditional branch behind it: one dispatch instead of two, and the
// condition straight from the operands instead of from the flags. The flags are still set, for whoever reads them later.
// Fields: `a` first operand, `b` second operand or `immediate`; `c`, `d` and `displacement` as in every branch.

import CHost
import X86

// PERF: everything here is specialised by width and condition in the generated handlers.

/// Whether `condition` holds after `x - y = result`.
@inline(__always) func holdsAfterCompare<W: Width>(
  _ width: W.Type, _ condition: Condition, _ x: UInt64, _ y: UInt64, _ result: UInt64, _ b: Interpreter
) -> Bool {
  let signedX = W.Signed(truncatingIfNeeded: x)
  let signedY = W.Signed(truncatingIfNeeded: y)
  switch condition {
  case .equal: return x == y
  case .notEqual: return x != y
  case .below: return x < y
  case .aboveOrEqual: return x >= y
  case .belowOrEqual: return x <= y
  case .above: return x > y
  case .less: return signedX < signedY
  case .greaterOrEqual: return signedX >= signedY
  case .lessOrEqual: return signedX <= signedY
  case .greater: return signedX > signedY
  case .sign: return W.Signed(truncatingIfNeeded: result) < 0
  case .notSign: return W.Signed(truncatingIfNeeded: result) >= 0
  default: return b.condition(condition)
  }
}

/// Whether `condition` holds after `x & y = result`.
@inline(__always) func holdsAfterTest<W: Width>(
  _ width: W.Type, _ condition: Condition, _ result: UInt64, _ b: Interpreter
) -> Bool {
  let signed = W.Signed(truncatingIfNeeded: result)
  switch condition {
  case .equal, .belowOrEqual: return result == 0
  case .notEqual, .above: return result != 0
  case .sign, .less: return signed < 0
  case .notSign, .greaterOrEqual: return signed >= 0
  case .lessOrEqual: return signed <= 0
  case .greater: return signed > 0
  case .below, .overflow: return false
  case .aboveOrEqual, .notOverflow: return true
  default: return b.condition(condition)
  }
}

@inline(__always) func compareAndJump<W: Width>(
  _ width: W.Type, _ condition: Condition, _ y: UInt64, _ o: UnsafePointer<Operation>,
  _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  let b = Interpreter(o, c, w)
  let x = b.readRegister(W.self, o.pointee.a)
  let result = b.subtract(W.self, x, y)
  b.setFlagsAfterSubtract(W.self, x, y, result)
  if holdsAfterCompare(W.self, condition, x, y, result, b) { return transfer(o.target, c, w, n &- o.count) }
  next(o, c, w, n)
}

@inline(__always) func testAndJump<W: Width>(
  _ width: W.Type, _ condition: Condition, _ y: UInt64, _ o: UnsafePointer<Operation>,
  _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  let b = Interpreter(o, c, w)
  let result = b.readRegister(W.self, o.pointee.a) & y
  b.setFlagsAfterLogic(W.self, result)
  if holdsAfterTest(W.self, condition, result, b) { return transfer(o.target, c, w, n &- o.count) }
  next(o, c, w, n)
}

@inline(__always) func compareAndJumpRegister<W: Width>(
  _ width: W.Type, _ condition: Condition, _ o: UnsafePointer<Operation>,
  _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  compareAndJump(W.self, condition, Interpreter(o, c, w).readRegister(W.self, o.pointee.b), o, c, w, n)
}

@inline(__always) func compareAndJumpImmediate<W: Width>(
  _ width: W.Type, _ condition: Condition, _ o: UnsafePointer<Operation>,
  _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  let y = UInt64(truncatingIfNeeded: W.Native(truncatingIfNeeded: o.pointee.immediate))
  compareAndJump(W.self, condition, y, o, c, w, n)
}

@inline(__always) func testAndJumpRegister<W: Width>(
  _ width: W.Type, _ condition: Condition, _ o: UnsafePointer<Operation>,
  _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  testAndJump(W.self, condition, Interpreter(o, c, w).readRegister(W.self, o.pointee.b), o, c, w, n)
}

@inline(__always) func testAndJumpImmediate<W: Width>(
  _ width: W.Type, _ condition: Condition, _ o: UnsafePointer<Operation>,
  _ c: UnsafeMutablePointer<CPUState>, _ w: UnsafeMutableRawPointer, _ n: Int64
) {
  let y = UInt64(truncatingIfNeeded: W.Native(truncatingIfNeeded: o.pointee.immediate))
  testAndJump(W.self, condition, y, o, c, w, n)
}
