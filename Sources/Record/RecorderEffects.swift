// What a system call did to memory: the journal's notes become effects, with the bytes that the noted ranges now hold. Of a
// buffer only what the call says that it has filled is kept.
import Engine
import GuestMemory
import Linux
import VirtualMachine

extension Recorder {
  /// Adds the effects of what `journal` notes. `filled` are buffers of which only as much counts as `result` says.
  func addEffects(
    _ journal: MemoryJournal, _ memory: AddressSpace, _ filled: LinuxProcess.FilledBuffers = .none,
    _ result: Int64 = 0
  ) {
    for entry in journal.entries {
      switch entry {
      case .change(let change):
        addContents(of: memory)
        effects.append(.change(change))
      case .write(let start, let size):
        let (end, overflow) = start.addingReportingOverflow(
          filled.filledSize(at: start, size: size, result: result))
        if end > start, !overflow { ranges.append(start..<end) }
      }
    }
    addContents(of: memory)
  }

  /// Adds what is in `ranges` now, each byte once, and forgets them.
  func addContents(of memory: AddressSpace) {
    if ranges.isEmpty { return }
    if ranges.count > 1 { ranges.sort { $0.lowerBound < $1.lowerBound } }
    var reached: UInt64 = 0
    for range in ranges {
      var start = max(range.lowerBound, reached)
      reached = max(reached, range.upperBound)
      while start < range.upperBound, let region = memory.region(atOrAbove: start) {
        let from = max(region.start, start)
        let end = min(region.end, range.upperBound)
        if from < end { effects.append(memory, from: from, to: end, of: region) }
        start = region.end
      }
    }
    ranges.removeAll(keepingCapacity: true)
  }

  /// A call has written `count` bytes to a file: where it is mapped, memory has changed. Without an offset among the arguments
  /// they lie in front of the file's position.
  func noteChange(
    of descriptor: UInt64, _ number: UInt64, arguments: RegisterWords, count: UInt64, _ journal: MemoryJournal
  ) {
    guard let memory, let identity = HostFile.identity(Int32(truncatingIfNeeded: descriptor)) else { return }
    for effect in files.resized(identity) { effects.append(effect) }
    if count == 0 { return }
    let takesOffset = number == 18 || number == 296 || number == 328
    let current: Int64 = 1
    let position = HostFile.call(8, Int64(truncatingIfNeeded: descriptor), 0, current)
    let start =
      takesOffset ? arguments[10] : position >= Int64(count) ? UInt64(position) &- count : 0
    let end = takesOffset || position >= 0 ? start &+ count : .max
    for region in memory.regions() where identity.file.isBehind(region, memory) {
      let from = max(start, region.offset)
      let to = min(end, region.offset &+ region.size)
      if from < to { journal.noteWrite(region.start &+ (from &- region.offset), to &- from) }
    }
  }
}

extension HostFile.Place {
  func isBehind(_ region: Region, _ memory: AddressSpace) -> Bool {
    memory.backing(region.backing).map(HostFile.Place.init) == self
  }
}
