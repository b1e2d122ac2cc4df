// Counting instructions. A block is cut into *segments*, which are executed to their end once they are begun: at conditional
// branches and behind calls. At the beginning of each one all of its instructions are taken from the budget. Whoever leaves in
// the middle of one, by a fault or for the interpreter, gives back what was not executed.
//
// Where other blocks arrive, at the block's head and at landings, it is also asked whether the budget reaches over all that
// may be executed until somebody asks again, a block at most. The number in the CPU state is chosen so that this is a
// shift: it lies below 2^60 when the budget may not reach. Nothing here changes flags.

import CHost
import Engine
import X86

/// The form of the budget in the CPU state.
enum InstructionBudget {
  /// Instructions that are always left when translated code goes on.
  static let reserve = InstructionCount(TranslatorOptions.mostInstructions)
  /// More than that is not asked for at once.
  static let most: InstructionCount = 1 &<< 59
  fileprivate static let bias = (1 as InstructionCount) &<< 60 &- reserve
}

extension CPUState {
  /// Instructions that may still be executed by the translator.
  var remainingInstructions: InstructionCount {
    get { translated.remaining &- InstructionBudget.bias }
    set { translated.remaining = newValue &+ InstructionBudget.bias }
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
    writeBudgetExit()
    assembler.align(64)
    assembler.completeShort(over)
  }

  /// In front of an instruction: charges for the segment that it begins, if it does. The scratch register is changed.
  mutating func beginSegment() {
    guard segments.isEnded else { return }
    endSegment()
    segments.isEnded = false
    segments.begins |= 1 &<< UInt64(count)
    segments.firstSite = cache.siteCount
    guarded = .none
    assembler.loadState(HostRegister.scratch, StateOffset.remaining)
    // Any number that needs 32 bits.
    assembler.add(HostRegister.scratch, 0x1000)
    segments.charge = assembler.cursor - 4
    assembler.storeState(HostRegister.scratch, StateOffset.remaining)
    guard let exit = segments.exit else { return }
    segments.firstSite = exit.site
    assembler.shiftRight(HostRegister.scratch, HostRegister.scratch, by: HostRegister.state)
    assembler.jumpIfScratchZero(backTo: exit.place)
    segments.exit = nil
  }

  /// The segment ends behind the last instruction.
  mutating func endSegment() {
    guard let charge = segments.charge else { return }
    let begin = 63 &- segments.begins.leadingZeroBitCount
    let length = Int32(truncatingIfNeeded: count &- begin)
    UnsafeMutableRawPointer(charge).storeBytes(of: 0 &- length, as: Int32.self)
    for site in segments.firstSite..<cache.siteCount {
      let unused = count &- Int(cache.sites[site].executed)
      cache.sites[site].unused = UInt16(truncatingIfNeeded: max(unused, 0))
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
