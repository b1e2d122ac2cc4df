// A condition on one thread's registers and on memory that is asked again and again: its names are looked up once.

import CHost
import Debugger
import Engine
import GuestMemory

final class Predicate {
  /// An expression whose names are places.
  private indirect enum Node {
    case number(UInt64)
    /// A general register, by its number in the instruction set, or part of it.
    case general(Int, shift: UInt64, mask: UInt64)
    case instructionPointer
    case register(RegisterDescription, shift: UInt64, mask: UInt64)
    case memory(Node, size: Int)
    case unary(Expression.Operator, Node)
    case binary(Expression.Operator, Node, Node)
  }

  private let node: Node
  private let memory: AddressSpace
  private let read: (UnsafeMutablePointer<CPUState>, RegisterDescription) -> UInt64

  /// Nil where a name means nothing.
  init?(_ expression: Expression, _ subject: LiveMachine) {
    let symbols = subject.scope.name
    guard let memory = subject.memory, let thread = subject.thread,
      let node = Predicate.node(expression, subject.registerFile, symbols)
    else { return nil }
    (self.node, self.memory) = (node, memory)
    read = { _, register in RegisterAccess(thread).read(register).littleEndianNumber }
  }

  init?(_ expression: Expression, _ subject: RecordedMachine) {
    guard let node = Predicate.node(expression, subject.file, subject.scope.name) else { return nil }
    (self.node, memory) = (node, subject.replay.memory)
    read = { RegisterAccess(recorded: $0, isAtCall: false).read($1).littleEndianNumber }
  }

  /// False as well where it cannot be worked out.
  func holds(_ cpu: UnsafeMutablePointer<CPUState>) -> Bool { (value(node, cpu) ?? 0) != 0 }

  private static func node(
    _ expression: Expression, _ file: RegisterFile, _ symbols: (String) -> UInt64?
  ) -> Node? {
    switch expression {
    case .number(let value): return .number(value)
    case .name(let name):
      let known = Expression.registerName(name)
      if known.name == "rip" { return .instructionPointer }
      let wanted = known.name == "rflags" ? "eflags" : known.name
      guard let number = file.number(of: wanted), file.registers[number].size <= 8 else {
        return symbols(name).map { .number($0) }
      }
      let register = file.registers[number]
      if let general = register.generalNumber {
        return .general(general, shift: known.shift, mask: known.mask)
      }
      return .register(register, shift: known.shift, mask: known.mask)
    case .memory(let address, let size):
      return self.node(address, file, symbols).map { .memory($0, size: size) }
    case .unary(let operation, let operand):
      return self.node(operand, file, symbols).map { .unary(operation, $0) }
    case .binary(let operation, let left, let right):
      guard let left = self.node(left, file, symbols), let right = self.node(right, file, symbols) else {
        return nil
      }
      return .binary(operation, left, right)
    }
  }

  private func value(_ node: Node, _ cpu: UnsafeMutablePointer<CPUState>) -> UInt64? {
    switch node {
    case .number(let value): return value
    case .general(let number, let shift, let mask):
      // SAFETY: the state begins with sixteen 64-bit words.
      let whole = UnsafeRawPointer(cpu).load(fromByteOffset: number & 15 &* 8, as: UInt64.self)
      return whole &>> shift & mask
    case .instructionPointer: return cpu.pointee.rip
    case .register(let register, let shift, let mask): return read(cpu, register) &>> shift & mask
    case .memory(let address, let size): return value(address, cpu).flatMap { load($0, size) }
    case .unary(let operation, let operand): return value(operand, cpu).map { operation.applied(to: $0) }
    case .binary(let operation, let left, let right):
      guard let first = value(left, cpu) else { return nil }
      if operation == .and, first == 0 { return 0 }
      if operation == .or, first != 0 { return 1 }
      return value(right, cpu).flatMap { operation.applied(to: first, $0) }
    }
  }

  private func load(_ address: UInt64, _ size: Int) -> UInt64? {
    switch size {
    case 1: memory.load(UInt8.self, at: address).map { UInt64($0) }
    case 2: memory.load(UInt16.self, at: address).map { UInt64($0) }
    case 4: memory.load(UInt32.self, at: address).map { UInt64($0) }
    default: memory.load(UInt64.self, at: address)
    }
  }
}
