// Small parts of recorder and replay: the vector and x87 registers as bytes, instructions whose results are chance, how long threads
// run.
import CHost
import Engine
import GuestMemory
import X86

/// The vector, opmask and x87 registers with their control words: one run of bytes in the CPU's state.
enum ExtendedRegisters {
  private static var range: Range<Int> { Int(VT_OFFSET_VECTOR)..<Int(VT_OFFSET_X87) + Int(VT_SIZE_X87) }

  static func bytes(_ cpu: UnsafeMutablePointer<CPUState>) -> [UInt8] {
    let raw = UnsafeRawBufferPointer(start: cpu, count: CPUState.allocationSize)
    return Array(raw[range])
  }

  /// False when these are not that many.
  static func store(_ bytes: [UInt8], to cpu: UnsafeMutablePointer<CPUState>) -> Bool {
    if bytes.count != range.count { return false }
    // SAFETY: as many bytes as the range has, inside the state.
    bytes.withUnsafeBytes {
      UnsafeMutableRawBufferPointer(
        rebasing: UnsafeMutableRawBufferPointer(start: cpu, count: CPUState.allocationSize)[range]
      )
      .copyMemory(from: $0)
    }
    // A damaged recording may say anything: loading reserved bits would raise #GP in the host.
    cpu.pointee.mxcsr &= 0xffff
    cpu.pointee.x87_top &= 7
    return true
  }
}

/// Finds instructions whose results differ from run to run.
final class ChanceReader {
  private let code: CodeReader
  private var instruction = Instruction()

  init(memory: AddressSpace) { code = CodeReader(memory: memory) }

  func isChance(_ cpu: UnsafeMutablePointer<CPUState>) -> Bool {
    code.begin(cpu.pointee.rip)
    guard code.decode(cpu.pointee.rip, into: &instruction) == .valid else { return false }
    switch instruction.info.features.0 {
    case .tsc, .rdtscp, .rdpid, .rdrand, .rdseed: return true
    default: return false
    }
  }
}

/// How many instructions a thread executes before others may.
struct ThreadSchedule {
  private var state: UInt64
  private let seed: UInt64
  private let isChaotic: Bool
  /// About a quarter of a millisecond. A switch costs some hundredth of one: the other thread has to wake up.
  private static let usual: InstructionCount = 1_000_000

  init(seed: UInt64, isChaotic: Bool) {
    self.seed = seed
    self.isChaotic = isChaotic
    state = seed &* 0x9e37_79b9_7f4a_7c15 &+ 1
  }

  mutating func next() -> InstructionCount {
    if seed == 0, !isChaotic { return ThreadSchedule.usual }
    // xorshift64*.
    state ^= state &>> 12
    state ^= state &<< 25
    state ^= state &>> 27
    let random = (state &* 0x2545_f491_4f6c_dd1d) &>> 32
    if !isChaotic {
      return ThreadSchedule.usual / 2 &+ InstructionCount(random % UInt64(ThreadSchedule.usual))
    }
    // All orders of magnitude are equally frequent.
    let bits = random & 15
    return 1 &+ InstructionCount((random &>> 4) & (1 &<< (bits &+ 4) &- 1))
  }
}
