// The guest's side of the oracle: an address space, a CPU, an engine.

import CHost
import CNative
import Engine
import GuestMemory
import X86

/// How an execution ended, comparable between both sides.
enum Ending: Equatable, CustomStringConvertible {
  /// Reached the INT3 behind the instruction.
  case completed
  case divideError, invalidOpcode, generalProtection, stackFault, x87Error, vectorError, otherSignal(Int32)
  case pageFault(address: UInt64)

  /// The clock may have ended it: SIGALRM natively, an exit that is no fault in an engine.
  var isStop: Bool { self == .otherSignal(14) || self == .otherSignal(-2) }

  var description: String {
    switch self {
    case .pageFault(let address): return "page fault at 0x\(String(address, radix: 16))"
    case .otherSignal(let number): return "signal \(number)"
    case .completed: return "completed"
    case .divideError: return "#DE"
    case .invalidOpcode: return "#UD"
    case .generalProtection: return "#GP"
    case .stackFault: return "#SS"
    case .x87Error: return "#MF"
    case .vectorError: return "#XM"
    }
  }

  init(_ result: native_result) {
    switch (result.signal, result.trap_number) {
    case (5, _): self = .completed
    case (8, 0): self = .divideError
    case (8, 16): self = .x87Error
    case (8, _): self = .vectorError
    case (4, _): self = .invalidOpcode
    case (11, 14), (7, 14): self = .pageFault(address: result.address)
    case (11, 13): self = .generalProtection
    case (7, 12), (11, 12): self = .stackFault
    default: self = .otherSignal(result.signal)
    }
  }

  init(_ exit: Exit) {
    switch exit {
    case .interrupt(3): self = .completed
    case .fault(let fault):
      switch fault.trap {
      case .divideError: self = .divideError
      case .invalidOpcode: self = .invalidOpcode
      case .generalProtection: self = .generalProtection
      case .stackFault: self = .stackFault
      case .x87FloatingPoint: self = .x87Error
      case .simdFloatingPoint: self = .vectorError
      case .pageFault: self = .pageFault(address: fault.address)
      default: self = .otherSignal(-1)
      }
    default: self = .otherSignal(-2)
    }
  }
}

/// An address space, a CPU, and the engine that is compared with silicon.
final class Guest {
  let space: AddressSpace
  let engine: any GuestEngine
  let cpu: UnsafeMutablePointer<CPUState>
  /// Where `Layout`'s areas are, once they are mapped.
  let code: UnsafeMutableRawPointer
  let data: UnsafeMutableRawPointer

  /// Nothing is mapped yet. `makeEngine` makes the engine under test for an address space, which takes `window`.
  init?(_ window: IsolatedWindow?, engine makeEngine: Engines.Factory) {
    guard let space = try? AddressSpace(window), let engine = makeEngine(space) else { return nil }
    self.space = space
    self.engine = engine
    code = space.base + Int(Layout.code)
    data = space.base + Int(Layout.data)
    cpu = UnsafeMutableRawPointer.allocate(
      byteCount: CPUState.allocationSize, alignment: CPUState.allocationAlignment
    ).bindMemory(to: CPUState.self, capacity: 1)
    CPUState.initialize(cpu)
    let level = CPUID.Level.maximum(vectors512: engine.executesVectors512)
    cpu.pointee.cpu_level = level.rawValue
    cpu.pointee.xcr0 = level.stateComponents
  }

  /// Maps the areas of `Layout`.
  func mapAreas() -> Bool {
    do {
      try space.mapAnonymous(at: Layout.code, size: Layout.codeSize, permissions: [.read, .execute])
      try space.mapAnonymous(at: Layout.data, size: Layout.dataSize, permissions: [.read, .write])
      return true
    } catch {
      return false
    }
  }

  /// Writes code behind the back of the page protections; the caller flushes the engine.
  func writeCode(_ bytes: UnsafeRawBufferPointer, at address: UInt64) {
    native_protect(UInt64(UInt(bitPattern: code)), Layout.codeSize, 3)
    (code + Int(address - Layout.code)).copyMemory(
      from: bytes.baseAddress ?? UnsafeRawPointer(code), byteCount: bytes.count)
    native_protect(UInt64(UInt(bitPattern: code)), Layout.codeSize, 1)
  }

  func run(_ state: inout native_state) -> Ending {
    state.load(into: cpu)
    let ending = Ending(engine.run(cpu, budget: 1_000_000))
    // The translator leaves its window there; native code that uses GS would hit the guest's memory.
    native_set_gs_base(0)
    state.take(from: cpu)
    return ending
  }
}
