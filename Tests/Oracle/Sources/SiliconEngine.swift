// An engine that is no emulator: it runs the guest's code natively, in the pages of the native side, whose data it puts
// aside meanwhile. What the oracle then compares is silicon with silicon, so a mismatch is the oracle's own: an encoding
// that does not exist, a state that does not survive, a result that is not repeatable. It needs no engine for AVX-512.

import CHost
import CNative
import Engine
import GuestMemory

final class SiliconEngine: GuestEngine {
  private let memory: AddressSpace
  private(set) var instructionCount: InstructionCount = 0

  init(memory: AddressSpace) { self.memory = memory }

  var executesVectors512: Bool { CPUID.hostHasVectors512 }

  func flush() {}

  func observes(_ observer: CodeObserver) -> Bool { false }

  func run(_ cpu: UnsafeMutablePointer<CPUState>, budget: InstructionCount) -> Exit {
    let areas = memory.regions().filter { $0.permissions.contains(.write) }
    exchange(areas)
    var state = native_state()
    var result = native_result()
    state.take(from: cpu)
    var bases = [cpu.pointee.fs_base, cpu.pointee.gs_base]
    if native_has_bases() != 0 { native_set_bases(bases) }
    native_run(&state, &result)
    if native_has_bases() != 0 { native_get_bases(&bases) }
    (cpu.pointee.fs_base, cpu.pointee.gs_base) = (bases[0], bases[1])
    state.load(into: cpu)
    exchange(areas)
    instructionCount += 1
    return SiliconEngine.exit(result)
  }

  /// Exchanges what the guest may write with the native side's pages at the same addresses.
  private func exchange(_ areas: [Region]) {
    for area in areas {
      guard let native = UnsafeMutableRawPointer(bitPattern: UInt(area.start)) else { continue }
      let words = Int(area.end - area.start) / 8
      let left = native.bindMemory(to: UInt64.self, capacity: words)
      let right = (memory.base + Int(area.start)).bindMemory(to: UInt64.self, capacity: words)
      for word in 0..<words { (left[word], right[word]) = (right[word], left[word]) }
    }
  }

  private static func exit(_ result: native_result) -> Exit {
    if result.signal == 5 { return .interrupt(3) }
    // SIGALRM: the clock has ended it.
    if result.signal == 14 { return .attention }
    // #GP, for what the kernel reports without a trap number.
    let trap = Trap(rawValue: UInt32(truncatingIfNeeded: result.trap_number)) ?? .generalProtection
    return .fault(
      Fault(trap: trap, address: trap == .pageFault ? result.address : 0, errorCode: result.error_code))
  }
}
