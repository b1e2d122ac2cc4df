// Meaning of the x87 instructions (ISA/x87.isa): which of them wait for a pending exception, what they read,
// compute, write and pop. How the unit responds to stack faults and exceptions is the backend's
// (Backend/X87Backend.swift).

import X86

extension Semantics {
  // PERF: every semantic folds into the handler that isagen makes for a combination of operands.

  // MARK: - Arithmetic

  @inline(__always) public static func x87Arithmetic<B: Backend, F: X87Format, M: AddressedPlace>(
    _ b: inout B, _ operation: X87Arithmetic, _ format: F.Type, _ memory: M
  ) {
    b.x87Wait()
    let address = memory.address(&b)
    b.x87Arithmetic(operation, F.self, address)
  }

  @inline(__always) public static func x87Arithmetic<B: Backend>(
    _ b: inout B, _ operation: X87Arithmetic, _ destination: StackRegister, _ source: StackRegister
  ) {
    b.x87Wait()
    b.x87Arithmetic(operation, destination: destination.index, source: source.index, pops: false)
  }

  @inline(__always) public static func x87ArithmeticPop<B: Backend>(
    _ b: inout B, _ operation: X87Arithmetic, _ destination: StackRegister, _ source: StackRegister
  ) {
    b.x87Wait()
    b.x87Arithmetic(operation, destination: destination.index, source: source.index, pops: true)
  }

  @inline(__always) public static func x87Unary<B: Backend>(_ b: inout B, _ operation: X87Unary) {
    b.x87Wait()
    b.x87Unary(operation)
  }

  @inline(__always) public static func x87Trigonometric<B: Backend>(
    _ b: inout B, _ operation: X87Trigonometric
  ) {
    b.x87Wait()
    b.x87Trigonometric(operation)
  }

  @inline(__always) public static func x87TrigonometricPush<B: Backend>(
    _ b: inout B, _ operation: X87TrigonometricPush
  ) {
    b.x87Wait()
    b.x87TrigonometricPush(operation)
  }

  @inline(__always) public static func x87Extract<B: Backend>(_ b: inout B) {
    b.x87Wait()
    b.x87Extract()
  }

  @inline(__always) public static func x87BinaryPop<B: Backend>(_ b: inout B, _ operation: X87BinaryPop) {
    b.x87Wait()
    b.x87BinaryPop(operation)
  }

  @inline(__always) public static func x87Binary<B: Backend>(_ b: inout B, _ operation: X87Binary) {
    b.x87Wait()
    b.x87Binary(operation)
  }

  @inline(__always) public static func x87Remainder<B: Backend>(_ b: inout B, _ operation: X87Remainder) {
    b.x87Wait()
    b.x87Remainder(operation)
  }

  @inline(__always) public static func x87ChangeSign<B: Backend>(_ b: inout B) {
    b.x87Wait()
    b.x87Sign(inverts: true)
  }

  @inline(__always) public static func x87Absolute<B: Backend>(_ b: inout B) {
    b.x87Wait()
    b.x87Sign(inverts: false)
  }

  // MARK: - Comparison

  @inline(__always) public static func x87Compare<B: Backend, F: X87Format, M: AddressedPlace>(
    _ b: inout B, _ format: F.Type, _ memory: M, _ pops: Int
  ) {
    b.x87Wait()
    let address = memory.address(&b)
    b.x87Compare(F.self, address, pops: pops)
  }

  @inline(__always) public static func x87Compare<B: Backend>(
    _ b: inout B, _ comparison: X87Comparison, _ source: StackRegister, _ pops: Int
  ) {
    b.x87Wait()
    b.x87Compare(comparison, with: source.index, pops: pops)
  }

  @inline(__always) public static func x87ComparePopPop<B: Backend>(
    _ b: inout B, _ comparison: X87Comparison
  ) {
    b.x87Wait()
    b.x87Compare(comparison, with: 1, pops: 2)
  }

  @inline(__always) public static func x87CompareFlags<B: Backend>(
    _ b: inout B, _ comparison: X87Comparison, _ source: StackRegister, _ pops: Int
  ) {
    b.x87Wait()
    b.x87CompareFlags(comparison, with: source.index, pops: pops)
  }

  @inline(__always) public static func x87Test<B: Backend>(_ b: inout B) {
    b.x87Wait()
    b.x87Test()
  }

  @inline(__always) public static func x87Examine<B: Backend>(_ b: inout B) {
    b.x87Wait()
    b.x87Examine()
  }

  // MARK: - Load, store, move

  @inline(__always) public static func x87Load<B: Backend, F: X87Format, M: AddressedPlace>(
    _ b: inout B, _ format: F.Type, _ memory: M
  ) {
    b.x87Wait()
    let address = memory.address(&b)
    b.x87Load(F.self, address)
  }

  @inline(__always) public static func x87Load<B: Backend>(_ b: inout B, _ source: StackRegister) {
    b.x87Wait()
    b.x87Load(from: source.index)
  }

  @inline(__always) public static func x87LoadConstant<B: Backend>(_ b: inout B, _ constant: X87Constant) {
    b.x87Wait()
    b.x87LoadConstant(constant)
  }

  @inline(__always) public static func x87Store<B: Backend, F: X87Format, M: AddressedPlace>(
    _ b: inout B, _ format: F.Type, _ memory: M, _ pops: Int
  ) {
    b.x87Wait()
    let address = memory.address(&b)
    b.x87Store(F.self, address, pops: pops != 0)
  }

  @inline(__always) public static func x87Store<B: Backend>(
    _ b: inout B, _ destination: StackRegister, _ pops: Int
  ) {
    b.x87Wait()
    b.x87Store(to: destination.index, pops: pops != 0)
  }

  /// FSTP1.
  @inline(__always) public static func x87StoreUnchecked<B: Backend>(
    _ b: inout B, _ destination: StackRegister
  ) {
    b.x87Wait()
    b.x87StoreUnchecked(to: destination.index)
  }

  @inline(__always) public static func x87Exchange<B: Backend>(_ b: inout B, _ source: StackRegister) {
    b.x87Wait()
    b.x87Exchange(with: source.index)
  }

  @inline(__always) public static func x87ConditionalMove<B: Backend>(
    _ b: inout B, _ condition: Condition, _ source: StackRegister
  ) {
    b.x87Wait()
    let holds = b.condition(condition)
    b.x87Move(if: holds, from: source.index)
  }

  @inline(__always) public static func x87RotateStack<B: Backend>(_ b: inout B, _ count: Int) {
    b.x87Wait()
    b.x87RotateStack(by: UInt8(truncatingIfNeeded: count))
  }

  @inline(__always) public static func x87Free<B: Backend>(
    _ b: inout B, _ register: StackRegister, _ pops: Int
  ) {
    b.x87Wait()
    b.x87Free(register.index, pops: pops != 0)
  }

  // MARK: - Control

  @inline(__always) public static func x87NoOperation<B: Backend>(_ b: inout B) {
    b.x87Wait()
    b.x87NoOperation()
  }

  /// FWAIT.
  @inline(__always) public static func x87Wait<B: Backend>(_ b: inout B) { b.x87Wait() }

  /// FNENI, FNDISI, FNSETPM: not even a wait.
  @inline(__always) public static func x87Nothing<B: Backend>(_ b: inout B) {}

  @inline(__always) public static func x87Initialize<B: Backend>(_ b: inout B) { b.x87Initialize() }

  @inline(__always) public static func x87ClearExceptions<B: Backend>(_ b: inout B) { b.x87ClearExceptions() }

  @inline(__always) public static func x87LoadControl<B: Backend, P: Place>(_ b: inout B, _ source: P) {
    b.x87Wait()
    let value = source.read(&b)
    b.x87LoadControl(value)
  }

  @inline(__always) public static func x87StoreControl<B: Backend, P: Place>(_ b: inout B, _ destination: P) {
    let value = b.x87Control()
    destination.write(&b, value)
  }

  @inline(__always) public static func x87StoreStatus<B: Backend, P: Place>(_ b: inout B, _ destination: P) {
    let value = b.x87Status()
    destination.write(&b, value)
  }

  @inline(__always) public static func x87LoadEnvironment<B: Backend, W: Width, M: AddressedPlace>(
    _ b: inout B, _ width: W.Type, _ memory: M
  ) {
    b.x87Wait()
    let address = memory.address(&b)
    b.x87LoadEnvironment(W.self, address)
  }

  @inline(__always) public static func x87StoreEnvironment<B: Backend, W: Width, M: AddressedPlace>(
    _ b: inout B, _ width: W.Type, _ memory: M
  ) {
    let address = memory.address(&b)
    b.x87StoreEnvironment(W.self, address)
  }

  @inline(__always) public static func x87RestoreState<B: Backend, W: Width, M: AddressedPlace>(
    _ b: inout B, _ width: W.Type, _ memory: M
  ) {
    b.x87Wait()
    let address = memory.address(&b)
    b.x87RestoreState(W.self, address)
  }

  @inline(__always) public static func x87SaveState<B: Backend, W: Width, M: AddressedPlace>(
    _ b: inout B, _ width: W.Type, _ memory: M
  ) {
    let address = memory.address(&b)
    b.x87SaveState(W.self, address)
  }
}
