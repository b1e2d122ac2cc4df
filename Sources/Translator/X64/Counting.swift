// Counting instructions. A block is cut into *segments*, which are executed to their end once they are begun: at conditional
// branches and behind calls. At the beginning of each one all of its instructions are taken from the budget. Whoever leaves in
// the middle of one, by a fault or for the interpreter, gives back what was not executed.
//
// The budget is in RBP, above the six bits that are the guard's shift count, so charging is one LEA. The fields of the CPU state
// that code needs are then addressed absolutely, in a small state of the code cache's own, which borrows them.
//
// Where other blocks arrive, at the block's head and at landings, it is also asked whether the budget reaches over all that
// may be executed until somebody asks again, a block at most: RBP lies below 2^60 when it may not. Nothing here changes flags.

import CHost
import Engine
import X86

/// The budget, and its form in RBP.
public enum InstructionBudget {
  /// Instructions that are always left when translated code goes on.
  static let reserve = InstructionCount(TranslatorOptions.mostInstructions)
  /// More than that is not asked for at once.
  static let most: InstructionCount = 1 &<< 56
  /// One instruction.
  fileprivate static let unit: InstructionCount = 1 &<< 6
  private static let bias =
    (1 as InstructionCount) &<< 60 &- reserve &* unit &+ InstructionCount(VT_STATE_BIAS)

  public static func register(_ instructions: InstructionCount) -> InstructionCount {
    instructions &* unit &+ bias
  }

  public static func instructions(_ register: InstructionCount) -> InstructionCount {
    (register &- bias) &>> 6
  }
}

extension CPUState {
  private static let notLeft = UInt32(VT_EXIT_NONE)

  /// As a counting cache's own state: takes over what code addresses, to be entered at `entry`.
  mutating func borrow(_ cpu: UnsafeMutablePointer<CPUState>, entry: UInt64) {
    (general.8, general.9) = (cpu.pointee.general.8, cpu.pointee.general.9)
    (general.10, general.11) = (cpu.pointee.general.10, cpu.pointee.general.11)
    (fs_base, gs_base) = (cpu.pointee.fs_base, cpu.pointee.gs_base)
    translated.site = CPUState.notLeft
    translated.indirect_site = cpu.pointee.translated.indirect_site
    (translated.fs_base, translated.gs_base) = (
      cpu.pointee.translated.fs_base, cpu.pointee.translated.gs_base
    )
    translated.remaining = InstructionBudget.register(cpu.pointee.translated.remaining)
    translated.entry = entry
    translated.window = cpu.pointee.translated.window
    translated.negative_window = cpu.pointee.translated.negative_window
    translated.other = UInt64(UInt(bitPattern: cpu)) &+ UInt64(VT_STATE_BIAS)
  }

  /// Gives it back when code has been left.
  func giveBack(_ cpu: UnsafeMutablePointer<CPUState>) {
    (cpu.pointee.general.8, cpu.pointee.general.9) = (general.8, general.9)
    (cpu.pointee.general.10, cpu.pointee.general.11) = (general.10, general.11)
    cpu.pointee.translated.indirect_site = translated.indirect_site
    var register = translated.remaining
    if translated.site != CPUState.notLeft {
      cpu.pointee.translated.site = translated.site
    } else if cpu.pointee.translated.site != UInt32(VT_EXIT_ATTENTION) {
      // By a signal handler.
      register = InstructionCount(truncatingIfNeeded: cpu.pointee.translated.host_rbp)
    }
    cpu.pointee.translated.remaining = InstructionBudget.instructions(register)
  }
}

/// The segments of a block under construction.
struct Segments {
  /// Instructions that begin one, one bit each.
  fileprivate(set) var begins: UInt64 = 0
  /// What comes next begins another one.
  var isEnded = true
  /// Where the number of its instructions has to be filled in, and its first site.
  fileprivate var charge: UnsafeMutablePointer<UInt8>?
  fileprivate var firstSite = 0
  /// The jump that leaves when the budget may not reach; nil: nobody else arrives at the next segment.
  fileprivate var exit: (place: UnsafeMutablePointer<UInt8>, site: Int)?
}

extension BlockTranslator {
  /// In front of where other blocks arrive: leaves, to go on at `address` when there is a budget.
  mutating func writeBudgetExit() {
    endSegment()
    let site = addSite(.budget, target: address, executed: count)
    alignPatch(1)
    let place = assembler.cursor
    cache.sites[site].patch = offset(assembler.jump())
    segments.exit = (place, site)
  }

  /// Small loops run up to twice as fast when they lie in few cache lines. The way out for the budget is put right in front of
  /// the body, for prologues may be long.
  mutating func alignLoop() {
    guard options.countsInstructions, loop.registers != 0 else { return assembler.align(64) }
    let over = assembler.shortJump()
    assembler.align(64, before: Int(CodeCache.jumpSize))
    writeBudgetExit()
    assembler.completeShort(over)
  }

  /// In front of an instruction: charges for the segment that it begins, if it does. The scratch register may be changed.
  mutating func beginSegment() {
    guard segments.isEnded else { return }
    endSegment()
    segments.isEnded = false
    segments.begins |= 1 &<< UInt64(count)
    segments.firstSite = cache.siteCount
    // Any number that needs 32 bits.
    assembler.add(HostRegister.state, 0x1000)
    segments.charge = assembler.cursor - 4
    guard let exit = segments.exit else { return }
    guarded = .none
    segments.firstSite = exit.site
    assembler.shiftRight(HostRegister.scratch, HostRegister.state, by: HostRegister.state)
    assembler.jumpIfScratchZero(backTo: exit.place)
    segments.exit = nil
  }

  /// The segment ends behind the last instruction.
  mutating func endSegment() {
    guard let charge = segments.charge else { return }
    let length = count &- (63 &- segments.begins.leadingZeroBitCount)
    let amount = Int32(truncatingIfNeeded: InstructionCount(length) &* InstructionBudget.unit)
    UnsafeMutableRawPointer(charge).storeBytes(of: 0 &- amount, as: Int32.self)
    for site in segments.firstSite..<cache.siteCount {
      let unused = count &- Int(cache.sites[site].executed)
      cache.sites[site].unused = UInt8(truncatingIfNeeded: max(unused, 0))
    }
    segments.charge = nil
  }
}

extension BlockRecord {
  /// Instructions that were charged when the block is left behind the first `executed`, but not executed.
  func unused(behind executed: Int) -> UInt16 {
    let further = segments & (~0 << UInt64(executed &+ 1))
    let end = further == 0 ? Int(instructions) : further.trailingZeroBitCount
    return UInt16(truncatingIfNeeded: max(end &- executed, 0))
  }
}
