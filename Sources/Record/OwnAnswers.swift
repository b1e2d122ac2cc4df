// Answers to system calls of a program that has departed from its recording, for calls that need nothing from outside: what it writes to
// standard output and error is shown, memory is given, clocks go on by a nanosecond an instruction from what the recording last says,
// random numbers come from a counter. All of it is a function of the replay's state.
import CHost
import Engine
import GuestMemory
import Linux
import LinuxABI

/// How a call was answered.
enum OwnAnswer {
  case result(Int64)
  case ends(ReplayEnd)
}

extension Replay {
  /// An answer to a call that the recording is not asked about; nil: it is.
  func ownAnswer(_ call: CallInputs, _ thread: Thread) -> OwnAnswer? {
    let arguments = call.arguments
    switch call.number {
    case CallNumber.exitGroup: return .ends(.exited(code: Int32(arguments[0] & 0xff)))
    case CallNumber.exit where threads.count == 1: return .ends(.exited(code: Int32(arguments[0] & 0xff)))
    case CallNumber.write, CallNumber.writeVector: return written(call, thread)
    case CallNumber.map, CallNumber.protect, CallNumber.unmap, CallNumber.remap, CallNumber.brk,
      CallNumber.advise:
      guard let result = memoryAnswer(call) else { return nil }
      departure?.hasOwnLayout = true
      return .result(result)
    case CallNumber.signalAction: return .result(setAction(arguments))
    case CallNumber.signalMask: return .result(setMask(arguments, thread))
    case CallNumber.clockTime, CallNumber.timeOfDay, CallNumber.time: return time(call)
    case CallNumber.nanosleep, CallNumber.clockNanosleep: return sleep(call)
    case CallNumber.futex: return futex(arguments)
    case CallNumber.kill, CallNumber.threadKill, CallNumber.groupThreadKill: return kill(call)
    default: return plainAnswer(call, thread)
    }
  }

  private func plainAnswer(_ call: CallInputs, _ thread: Thread) -> OwnAnswer? {
    switch call.number {
    case CallNumber.yield, CallNumber.lock, CallNumber.unlock, CallNumber.setRobustList: return .result(0)
    case CallNumber.processNumber: return .result(Int64(bitPattern: processNumber))
    case CallNumber.threadNumber, CallNumber.setThreadAddress: return threadNumber(thread).map { .result($0) }
    case CallNumber.random: return random(call.arguments)
    default: return nil
    }
  }

  /// Answers of the last resort, for calls that the recording does not have in any form.
  func lastAnswer(_ call: CallInputs) -> OwnAnswer? {
    let standard = call.arguments[0] <= 2
    let emptyPath: UInt64 = 0x1000
    switch call.number {
    case CallNumber.close: return .result(0)
    case CallNumber.seek where standard: return .result(-Errno.ESPIPE)
    case CallNumber.control where standard: return .result(-Errno.ENOTTY)
    case CallNumber.status where standard: return pipeStatus(call.arguments[1])
    case CallNumber.statusAt where standard && call.arguments[3] & emptyPath != 0:
      return pipeStatus(call.arguments[2])
    default: return nil
    }
  }

  private func threadNumber(_ thread: Thread) -> Int64? {
    if thread.number != 0 { return Int64(bitPattern: thread.number) }
    return thread.index == 0 ? Int64(bitPattern: processNumber) : nil
  }

  // MARK: Output

  /// What is written to standard output and error is shown; to another descriptor it is accepted where the recording writes there as well.
  private func written(_ call: CallInputs, _ thread: Thread) -> OwnAnswer? {
    let descriptor = UInt64(UInt32(truncatingIfNeeded: call.arguments[0]))
    // It comes in place of the recording's next call if that writes there, too.
    let next = inputs?.call(of: thread.index, from: nextIndex, among: 1) { _ in true }
    let replaces = next.map { $0.call == call.number && $0.first == call.arguments[0] } ?? false
    guard descriptor == 1 || descriptor == 2 || replaces else { return nil }
    var bytes: [UInt8] = []
    let most = 1 << 30
    for buffer in LinuxProcess.writtenBuffers(thread.cpu, memory) {
      guard buffer.size <= UInt64(most &- bytes.count) else { return .result(-Errno.EFAULT) }
      let part = memory.peek(buffer.address, count: Int(buffer.size))
      if part.count < Int(buffer.size) { return .result(-Errno.EFAULT) }
      bytes += part
    }
    if replaces, let next { departure?.passedOver[thread.index] = next.event &+ 1 }
    if descriptor == 1 || descriptor == 2 { output?(UInt8(descriptor), 0, bytes) }
    return .result(Int64(bytes.count))
  }

  /// A pipe, as fstat(2) describes it.
  private func pipeStatus(_ address: UInt64) -> OwnAnswer {
    var status = [UInt8](repeating: 0, count: 144)
    // st_nlink, st_mode (S_IFIFO, 0600), st_blksize.
    status[16] = 1
    (status[24], status[25]) = (0x80, 0x11)
    status[57] = 0x10
    return .result(memory.poke(status, at: address) ? 0 : -Errno.EFAULT)
  }

  // MARK: Memory

  /// The result of a call about memory without a file; nil: it is about a file.
  private func memoryAnswer(_ call: CallInputs) -> Int64? {
    let arguments = call.arguments
    if call.number == CallNumber.map { return map(arguments) }
    if call.number == CallNumber.brk { return setBreak(arguments[0]) }
    let count = arguments[2]
    do throws(MemoryError) {
      switch call.number {
      case CallNumber.protect:
        try memory.protect(
          arguments[0], size: arguments[1], permissions: Permissions(rawValue: UInt8(count & 7)))
      case CallNumber.unmap: try memory.unmap(arguments[0], size: arguments[1])
      case CallNumber.advise:
        try memory.advise(arguments[0], size: arguments[1], advice: Int32(truncatingIfNeeded: count))
      default:
        let flags = RemapFlags(rawValue: UInt32(truncatingIfNeeded: arguments[3]))
        return Int64(
          bitPattern: try memory.remap(
            arguments[0], size: arguments[1], newSize: count, flags: flags, newAddress: arguments[4]))
      }
      return 0
    } catch { return -Int64(error.number) }
  }

  private func map(_ arguments: [UInt64]) -> Int64? {
    let (shared, fixed, anonymous): (UInt64, UInt64, UInt64) = (1, 0x10, 0x20)
    let (low, growsDown, fixedNoReplace): (UInt64, UInt64, UInt64) = (0x40, 0x100, 0x100000)
    let flags = arguments[3]
    guard flags & anonymous != 0, flags & growsDown == 0 else { return nil }
    var request = MapRequest(
      address: arguments[0], size: arguments[1], permissions: Permissions(rawValue: UInt8(arguments[2] & 7)))
    if flags & shared != 0 { request.flags.insert(.shared) }
    request.isLow = flags & (low | fixed) == low
    let isFixed = flags & (fixed | fixedNoReplace) != 0
    if flags & fixed != 0 { request.placement = .fixed }
    if flags & fixedNoReplace != 0 { request.placement = .fixedNoReplace }
    if !isFixed, !request.isLow, arguments[0] == 0, let wish = departure?.nextMapping,
      let size = Page.up(arguments[1]), size &+ Page.size < wish / 2
    {
      request.address = wish &- size
      departure?.nextMapping = wish &- size &- Page.size
    }
    do throws(MemoryError) { return Int64(bitPattern: try memory.map(request)) } catch {
      return -Int64(error.number)
    }
  }

  private func setBreak(_ wish: UInt64) -> Int64? {
    if departure?.hasOwnBreak == false {
      guard let known = inputs?.programBreak(before: nextIndex) else { return nil }
      memory.startBreak(at: known)
      departure?.hasOwnBreak = true
    }
    return Int64(bitPattern: memory.setBreak(wish))
  }

  // MARK: Signals

  /// rt_sigaction(2).
  private func setAction(_ arguments: [UInt64]) -> Int64 {
    let size = 32
    let old = action(of: arguments[0])
    var new: [UInt8]?
    if arguments[1] != 0 {
      let bytes = memory.peek(arguments[1], count: size)
      if bytes.count < size { return -Errno.EFAULT }
      new = bytes
    }
    if arguments[2] != 0 {
      let bytes = old.isEmpty ? [UInt8](repeating: 0, count: size) : old
      if !memory.poke(bytes, at: arguments[2]) { return -Errno.EFAULT }
    }
    if let new { departure?.actions[arguments[0]] = new }
    return 0
  }

  /// rt_sigprocmask(2). Signals that were blocked before the change are not known; none comes from outside any more.
  private func setMask(_ arguments: [UInt64], _ thread: Thread) -> Int64 {
    let old = departure?.masks[thread.index] ?? 0
    if arguments[2] != 0, !memory.poke(RecordingFile.littleEndian(old), at: arguments[2]) {
      return -Errno.EFAULT
    }
    if arguments[1] == 0 { return 0 }
    guard let given = memory.load(UInt64.self, at: arguments[1]) else { return -Errno.EFAULT }
    switch arguments[0] & 0xffff_ffff {
    case 0: departure?.masks[thread.index] = old | given
    case 1: departure?.masks[thread.index] = old & ~given
    case 2: departure?.masks[thread.index] = given
    default: return -Errno.EINVAL
    }
    return 0
  }

  /// A signal that the program sends to itself and does not handle: it ends, or nothing happens.
  private func kill(_ call: CallInputs) -> OwnAnswer? {
    let isToThread = call.number == CallNumber.groupThreadKill
    let target = call.arguments[0]
    let isThread = threads.values.contains { threadNumber($0) == Int64(bitPattern: target) }
    let isOwn = target == processNumber || call.number == CallNumber.threadKill && isThread
    let signal = call.arguments[isToThread ? 2 : 1]
    guard isOwn, signal <= 64 else { return nil }
    if signal == 0 { return .result(0) }
    let handler = action(of: signal).littleEndian(UInt64.self, at: 0) ?? 0
    if handler == 1 { return .result(0) }
    guard handler == 0, LinuxProcess.endingSignals >> (signal &- 1) & 1 != 0 else { return nil }
    return .ends(.killed(signal: Int32(signal)))
  }

  // MARK: Time and chance

  /// A nanosecond an instruction behind what the recording last says.
  private func now(_ clock: UInt64) -> UInt64? {
    guard let reading = inputs?.reading(of: clock, before: nextIndex) else { return nil }
    let passed = UInt64(max(0, instant &- reading.instant))
    return reading.nanoseconds &+ passed &+ (departure?.slept ?? 0)
  }

  private func time(_ call: CallInputs) -> OwnAnswer? {
    let billion: UInt64 = 1_000_000_000
    let arguments = call.arguments
    let isClock = call.number == CallNumber.clockTime
    guard let now = now(isClock ? arguments[0] : 0) else { return nil }
    let place = isClock ? arguments[1] : arguments[0]
    if call.number == CallNumber.time {
      let bytes = RecordingFile.littleEndian(now / billion)
      if place != 0, !memory.poke(bytes, at: place) { return .result(-Errno.EFAULT) }
      return .result(Int64(now / billion))
    }
    if place == 0 { return .result(isClock ? -Errno.EFAULT : 0) }
    let fraction = isClock ? now % billion : now % billion / 1000
    let bytes = RecordingFile.littleEndian(now / billion) + RecordingFile.littleEndian(fraction)
    let isWritten = memory.poke(bytes, at: place)
    return .result(isWritten ? 0 : -Errno.EFAULT)
  }

  /// nanosleep(2), clock_nanosleep(2): at once, and clocks go on by as much.
  private func sleep(_ call: CallInputs) -> OwnAnswer? {
    let isClock = call.number == CallNumber.clockNanosleep
    let untilTime: UInt64 = 1
    if isClock, call.arguments[1] & untilTime != 0 { return nil }
    let place = call.arguments[isClock ? 2 : 0]
    guard let seconds = memory.load(UInt64.self, at: place),
      let fraction = memory.load(UInt64.self, at: place &+ 8)
    else { return .result(-Errno.EFAULT) }
    departure?.slept &+= seconds &* 1_000_000_000 &+ fraction
    return .result(0)
  }

  /// Waking is nothing to others, who ask again; waiting for a value that is not there is over at once.
  private func futex(_ arguments: [UInt64]) -> OwnAnswer? {
    switch arguments[1] & 0x7f {
    case 1, 10: return .result(0)
    case 0, 9:
      guard let value = memory.load(UInt32.self, at: arguments[0]) else { return .result(-Errno.EFAULT) }
      return value == UInt32(truncatingIfNeeded: arguments[2]) ? nil : .result(-Errno.EAGAIN)
    default: return nil
    }
  }

  private func random(_ arguments: [UInt64]) -> OwnAnswer? {
    let most: UInt64 = 1 << 20
    var digest = CallDigest()
    digest.add(departure?.randomNumbers ?? 0)
    departure?.randomNumbers &+= 1
    let bytes = (0..<min(arguments[1], most)).map { _ -> UInt8 in
      digest.add(1)
      return UInt8(truncatingIfNeeded: digest.value &>> 24)
    }
    return .result(memory.poke(bytes, at: arguments[0]) ? Int64(bytes.count) : -Errno.EFAULT)
  }
}
