// "Text file busy": a program that a process runs cannot be opened for writing, and a file that is open for writing cannot be
// executed (execve(2), open(2), truncate(2)). The host kernel sees to that for the executable of a process, and that is Vitrine
// for every guest. So whoever runs a program holds a lock on one byte of its file, far behind the end, that belongs to the open
// file (F_OFD_SETLK, fcntl_locking(2)): forked children share it, the kernel takes it away when the last of them ends or executes
// something else, however it ends, and guests of other Vitrines see it, too. Whoever opens a file for writing looks for the lock.
//
//     execve:  open  lock the byte  ask the kernel whether somebody writes     ETXTBSY if so
//     open:    open for writing     look for the lock                          ETXTBSY if there is one, and closed again
//
// Each first does what the other one looks for, so that not both can succeed. Truncation must not happen before the answer:
// then an executable file is opened without O_TRUNC first. Programs outside of Vitrine look for no locks, and may write.
import CHost
import GuestMemory
import LinuxABI

/// The lock by which others know that a program runs.
enum ProgramLock {
  /// No program locks this byte for itself: files end before it.
  private static let place: Int64 = 0x7fff_ffff_ffff_fffe
  private static let (get, set): (UInt64, UInt64) = (36, 37)
  private static let (read, write): (UInt64, UInt64) = (0, 1)

  /// struct flock: type and whence, start, length, process.
  private static func perform(
    _ call: (_ command: UInt64, _ lock: UInt64) -> Int64, _ command: UInt64, _ type: UInt64
  ) -> Bool {
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 4) { words in
      words.initialize(repeating: 0)
      (words[0], words[1], words[2]) = (type, UInt64(bitPattern: place), 1)
      if call(command, UInt64(UInt(bitPattern: words.baseAddress))) < 0 { return false }
      // Other locks of the guest's own may lie over this byte: they begin elsewhere, and are longer.
      return command == set
        || (words[0] & 0xffff == read && words[1] == UInt64(bitPattern: place) && words[2] == 1)
    }
  }

  /// Says that the program behind a descriptor runs, as long as this open file exists. Some file systems have no locks.
  static func take(_ descriptor: Int32) {
    _ = perform(
      { HostCall.control(descriptor, $0, $1) }, set, read)
  }

  /// Whether somebody runs the program behind a descriptor.
  static func isTaken(_ descriptor: UInt64, _ host: Host) -> Bool {
    perform({ host.call(72, descriptor, $0, $1) }, get, write)
  }
}

extension LinuxProcess {
  private static let writing: UInt64 = 3
  private static let truncating: UInt64 = 0o1000
  /// O_CREAT and O_EXCL.
  private static let creating: UInt64 = 0o300
  /// O_NONBLOCK, O_NOCTTY and O_CLOEXEC: a look at a file without consequences.
  private static let looking: UInt64 = 0o2004400

  /// Keeps the lock of a program that starts, and gives up that of the one before.
  func holdProgram(_ descriptor: Int32) {
    let previous = heldProgram
    heldProgram = nil
    let limit = hostLimit(7)
    // Above the guest's limit it takes no number away from it.
    if limit.soft < limit.hard, limit.soft >= 3, limit.soft < 1 << 20,
      setDescriptorLimit(limit.hard, limit.hard)
    {
      heldProgram = hiddenCopy(of: descriptor, from: limit.soft)
      _ = setDescriptorLimit(limit.soft, limit.hard)
    }
    if heldProgram == nil {
      let duplicateCloseOnExec: UInt64 = 1030
      let copy = host.call(72, UInt64(UInt32(bitPattern: descriptor)), duplicateCloseOnExec, 3)
      if copy >= 0 { heldProgram = hide(Int32(truncatingIfNeeded: copy)) }
    }
    if let previous { closeHidden(previous) }
  }

  private func setDescriptorLimit(_ soft: UInt64, _ hard: UInt64) -> Bool {
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 2) { words in
      (words[0], words[1]) = (soft, hard)
      return host.call(160, 7, address(of: words.baseAddress)) == 0
    }
  }

  /// The result of a call that has opened a file: closes it again when it is a program that runs.
  func unlessBusy(_ result: Int64, flags: UInt64) -> Int64 {
    if result < 0 || flags & LinuxProcess.writing == 0 || !ProgramLock.isTaken(UInt64(result), host) {
      return result
    }
    _ = host.call(3, UInt64(result))
    return -Errno.ETXTBSY
  }

  /// Whether opening a path of the host's would empty a program that runs. `path` is a host address.
  func wouldTruncateProgram(_ directory: UInt64, _ path: UInt64, flags: UInt64) -> Bool {
    if flags & LinuxProcess.truncating == 0 || flags & PathWalk.pathOnly != 0 { return false }
    if flags & LinuxProcess.creating == LinuxProcess.creating { return false }
    let noFollow: UInt64 = flags & PathWalk.noFollow != 0 ? 0x100 : 0
    guard let status = fileStatus(int(directory), path, noFollow), mayRun(status) else { return false }
    let access = flags & LinuxProcess.writing == 0 ? 1 : flags & LinuxProcess.writing
    let onlyDirectory: UInt64 = 0o200000
    let kept = flags & (PathWalk.noFollow | onlyDirectory) | access | LinuxProcess.looking
    return isRunning(host.call(257, directory, path, kept))
  }

  /// truncate(2) of a path of the host's.
  func truncate(_ path: UInt64, _ length: UInt64) -> Int64 {
    let here = PathWalk.word(-100)
    if Int64(bitPattern: length) >= 0, let status = fileStatus(-100, path, 0), mayRun(status),
      isRunning(host.call(257, here, path, 1 | LinuxProcess.looking))
    {
      return -Errno.ETXTBSY
    }
    return host.call(76, path, length)
  }

  /// openat2(2): the same by a descriptor that has been found with the caller's own rules.
  func wouldTruncateProgram(_ directory: UInt64, _ path: UInt64, how: UInt64, size: UInt64) -> Bool {
    guard size >= 24, let words = memory.bytes(at: GuestAddress(how), count: 24),
      let flags = words.littleEndian(UInt64.self, at: 0), flags & LinuxProcess.truncating != 0,
      flags & (PathWalk.pathOnly) == 0, flags & LinuxProcess.creating != LinuxProcess.creating,
      let resolve = words.littleEndian(UInt64.self, at: 16)
    else { return false }
    let found = withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 3) { request in
      let kept = flags & PathWalk.noFollow | PathWalk.pathOnly | PathWalk.closeOnExec
      (request[0], request[1], request[2]) = (kept, 0, resolve)
      return host.call(437, directory, path, address(of: request.baseAddress), 24)
    }
    if found < 0 { return false }
    defer { _ = host.call(3, UInt64(found)) }
    return host.withPath(LinuxProcess.link(of: Int32(truncatingIfNeeded: found))) {
      wouldTruncateProgram(PathWalk.word(-100), $0, flags: flags & ~PathWalk.noFollow)
    }
  }

  /// A program has, or had when it began, the permission to be executed.
  private func mayRun(_ status: FileStatus) -> Bool { status.isRegular && status.mode & 0o111 != 0 }

  /// Looks at what has been opened, and closes it.
  private func isRunning(_ opened: Int64) -> Bool {
    if opened < 0 { return false }
    defer { _ = host.call(3, UInt64(opened)) }
    return ProgramLock.isTaken(UInt64(opened), host)
  }
}
