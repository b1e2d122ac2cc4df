// Runs a block natively and twice by an engine, and says what differs.

import CHost
import CNative
import Engine
import GuestMemory
import X86

/// What came of one block.
struct BlockOutcome {
  var lines: [String] = []
  var ending = Ending.completed
  var start = native_state()
  /// Not to be compared: this process has something mapped where the guest faults, or processors differ there.
  var isExcused = false
  /// The clock may have ended one of the runs.
  var isStopped = false
}

final class BlockRunner {
  let guest: Guest
  let memory: BlockMemory
  let options: BlockOptions
  private let anyRow: Row
  private let rows: [Int: Row]
  private let cpu: UnsafeMutablePointer<CPUState>
  private let attention: UnsafeMutablePointer<UInt32>

  init?(_ guest: Guest, _ options: BlockOptions, anyRow: Row, rows: [Row]) {
    guard let memory = BlockMemory(guest), native_limit_time() == 0 else { return nil }
    self.guest = guest
    self.memory = memory
    self.options = options
    self.anyRow = anyRow
    self.rows = Dictionary(uniqueKeysWithValues: rows.map { ($0.id, $0) })
    cpu = guest.cpu
    guard let offset = MemoryLayout<CPUState>.offset(of: \CPUState.attention) else { return nil }
    attention = (UnsafeMutableRawPointer(cpu) + offset).assumingMemoryBound(to: UInt32.self)
  }

  /// Ticks that a run may last when there was a difference because the clock had ended one.
  private static let patience: UInt32 = 20

  /// Runs a block whose code is in place. How long a run takes is no function of the state (a locked operand across cache
  /// lines takes 0.1 ms on some hosts), so a difference that the clock has made counts only if it is there with more time.
  func run(_ program: BlockProgram, _ block: AssembledBlock, isRisky: Bool = false) -> BlockOutcome {
    let outcome = runOnce(program, block, isRisky)
    if outcome.lines.isEmpty || !outcome.isStopped { return outcome }
    native_set_patience(BlockRunner.patience)
    defer { native_set_patience(1) }
    return runOnce(program, block, isRisky)
  }

  /// The engine goes first: where it faults tells whether the block would touch this process's own memory. `isRisky`: a
  /// block without its discipline may load the trap flag, which silicon survives and is asked first.
  private func runOnce(_ program: BlockProgram, _ block: AssembledBlock, _ isRisky: Bool) -> BlockOutcome {
    var outcome = BlockOutcome()
    outcome.start = state(program, block)
    memory.prepare(program, block)
    if isRisky && program.items.contains(where: { $0.bytes.last == 0x9d }) {
      let native = runNative(program, outcome.start)
      if native.state.rflags & 0x40100 != 0 {
        outcome.isExcused = true
        return outcome
      }
    }
    var first = runGuest(program, outcome.start)
    if case .pageFault(let address) = first.ending, !BlockLayout.isOurs(address),
      native_is_mapped(address) != 0
    {
      outcome.isExcused = true
      outcome.ending = first.ending
      return outcome
    }
    let native = runNative(program, outcome.start)
    outcome.ending = native.ending
    outcome.isStopped = native.ending.isStop || first.ending.isStop
    if case .otherSignal(14) = native.ending {
      outcome.isExcused = first.ending == .otherSignal(-2)
      if outcome.isExcused { return outcome }
    }
    let mask = flagMask(program, block, native)
    if native.ending == .vectorError { first.keepMXCSR(native, program, block) }
    outcome.lines = compare(native, first, mask)
    if outcome.lines.isEmpty {
      var second = runGuest(program, outcome.start)
      outcome.isStopped = outcome.isStopped || second.ending.isStop
      if native.ending == .vectorError { second.keepMXCSR(native, program, block) }
      outcome.lines = compare(native, second, mask)
      if !outcome.lines.isEmpty { outcome.lines.insert("only the second run differs", at: 0) }
    } else if mayDiffer(program, block, [native.state.rip, first.state.rip]) {
      outcome.isExcused = true
      outcome.lines = []
    }
    return outcome
  }

  /// Whether the instruction at one of these addresses is one that processors of different makers execute differently when it faults.
  private func mayDiffer(_ program: BlockProgram, _ block: AssembledBlock, _ addresses: [UInt64]) -> Bool {
    addresses.contains { address in
      guard let index = block.places.lastIndex(of: address), index < program.items.count,
        let instruction = program.items[index].bytes.withUnsafeBytes({ Decoder.decode($0, mode: .bits64) }),
        let row = rows[Int(instruction.row)]
      else { return false }
      return MakersChoice.mayDiffer(faultingAt: instruction, row)
    }
  }

  private struct Side {
    var state: native_state
    var ending: Ending
    var bases: [UInt64]

    /// After #XM of a 256-bit instruction: takes the other side's exception flags over. Silicon raises it for all
    /// elements at once, engines that work in halves have noted the flags of the first half already.
    mutating func keepMXCSR(_ other: Side, _ program: BlockProgram, _ block: AssembledBlock) {
      guard let index = block.places.lastIndex(of: other.state.rip), index < program.items.count,
        program.items[index].bytes.withUnsafeBytes({ Decoder.decode($0, mode: .bits64) })?.vectorLength == 1
      else { return }
      let flags = withUnsafeBytes(of: other.state.extended) { $0[24] & 0x3f }
      withUnsafeMutableBytes(of: &state.extended) { $0[24] = $0[24] & ~0x3f | flags }
    }
  }

  private func runNative(_ program: BlockProgram, _ start: native_state) -> Side {
    memory.restore(native: true)
    var bases = [program.fsBase, program.gsBase]
    if options.hasBases { native_set_bases(bases) }
    var state = start
    var result = native_result()
    native_run(&state, &result)
    if options.hasBases { native_get_bases(&bases) }
    return Side(state: state, ending: Ending(result), bases: bases)
  }

  private func runGuest(_ program: BlockProgram, _ start: native_state) -> Side {
    memory.restore(native: false)
    cpu.pointee.fs_base = program.fsBase
    cpu.pointee.gs_base = program.gsBase
    var state = start
    cpu.pointee.attention = 0
    native_watch_engine(attention) { vt_translated_interrupt($0) }
    let ending = guest.run(&state)
    native_watch_engine(nil, nil)
    return Side(state: state, ending: ending, bases: [cpu.pointee.fs_base, cpu.pointee.gs_base])
  }

  private func state(_ program: BlockProgram, _ block: AssembledBlock) -> native_state {
    var generator = StateGenerator(random: RandomSource(seed: program.seed))
    generator.hasVectors512 = guest.engine.executesVectors512
    var state = generator.state(for: anyRow, EncodedInstruction(), rip: block.address)
    withUnsafeMutableBytes(of: &state.general) { raw in
      for number in 0..<16 {
        raw.storeBytes(of: program.registers[number], toByteOffset: number * 8, as: UInt64.self)
      }
    }
    return state
  }

  // MARK: Comparing

  /// Flags that are defined where the block ended. INT3 leaves RIP behind itself. In the middle of an instruction, or
  /// outside of the block, none is compared.
  private func flagMask(_ program: BlockProgram, _ block: AssembledBlock, _ native: Side) -> UInt32 {
    let analysis = FlagAnalysis(program.items)
    let isTrap = native.ending == .completed
    for (index, item) in program.items.enumerated() where item.label == nil {
      if isTrap
        ? item.bytes == [0xcc] && block.places[index] + 1 == native.state.rip
        : block.places[index] == native.state.rip
      {
        return analysis.before[index]
      }
    }
    return 0
  }

  private func compare(_ native: Side, _ guest: Side, _ flags: UInt32) -> [String] {
    var lines: [String] = []
    if native.ending != guest.ending {
      lines.append("ending: native \(native.ending), guest \(guest.ending)")
    }
    let comparison = Comparison(undefinedFlags: UInt64(~flags & FlagAnalysis.status))
    if !comparison.isEqual(native.state, guest.state) {
      lines += comparison.differences(native.state, guest.state)
    }
    if options.hasBases && native.bases != guest.bases {
      lines.append("fs, gs base: native \(native.bases), guest \(guest.bases)")
    }
    return lines + memory.differences()
  }
}
