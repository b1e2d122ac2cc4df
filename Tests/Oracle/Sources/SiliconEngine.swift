// An engine that is no emulator: it runs the guest's code natively, in the pages of the native side, whose data it puts
// aside meanwhile. What the oracle then compares is silicon with silicon, so a mismatch is the oracle's own: an encoding
// that does not exist, a state that does not survive, a result that is not repeatable. It needs no engine for AVX-512.

import CNative
import Engine
import GuestMemory

final class SiliconEngine: GuestEngine {
  private let memory: AddressSpace
  private let aside: UnsafeMutableRawPointer
  private(set) var instructionCount: InstructionCount = 0

  init(memory: AddressSpace) {
    self.memory = memory
    aside = .allocate(byteCount: Int(Layout.dataSize), alignment: 64)
  }

  deinit { aside.deallocate() }

  var executesVectors512: Bool { CPUID.hostHasVectors512 }

  func flush() {}

  func run(_ cpu: UnsafeMutablePointer<CPUState>, budget: InstructionCount) -> Exit {
    guard let native = UnsafeMutableRawPointer(bitPattern: UInt(Layout.data)) else { return .budget }
    let guest = memory.base + Int(Layout.data)
    let size = Int(Layout.dataSize)
    aside.copyMemory(from: native, byteCount: size)
    native.copyMemory(from: guest, byteCount: size)
    var state = native_state()
    var result = native_result()
    state.take(from: cpu)
    native_run(&state, &result)
    state.load(into: cpu)
    guest.copyMemory(from: native, byteCount: size)
    native.copyMemory(from: aside, byteCount: size)
    instructionCount += 1
    return SiliconEngine.exit(result)
  }

  private static func exit(_ result: native_result) -> Exit {
    if result.signal == 5 { return .interrupt(3) }
    // #GP, for what the kernel reports without a trap number.
    let trap = Trap(rawValue: UInt32(truncatingIfNeeded: result.trap_number)) ?? .generalProtection
    return .fault(
      Fault(trap: trap, address: trap == .pageFault ? result.address : 0, errorCode: result.error_code))
  }
}
