// What the remote protocol's answers are about: a machine that runs (`MachineControl`), or one that is replayed (`RecordingTarget`).
// Both have threads with registers, memory, and files to read; who moves them is a matter of their servers.

import Engine
import GuestMemory
import LinuxABI
import VirtualMachine

/// A thread as the protocol shows it.
protocol RemoteThread: AnyObject {
  /// gettid(2).
  var number: UInt64 { get }
  var access: RegisterAccess { get }
  /// Where it stands.
  var instructionPointer: UInt64 { get }
  /// It is at a system call that has not returned, and the call's number.
  var isInHostCall: Bool { get }
  var originalRAX: UInt64 { get }
}

/// What is to be in a register.
struct RegisterValue {
  var register: RegisterDescription
  var bytes: [UInt8]
}

extension RegisterAccess {
  /// Of many registers those that can be changed are; false when a single one cannot.
  func write(_ values: [RegisterValue]) -> Bool {
    var isWritten = true
    for value in values where !write(value.register, value.bytes) { isWritten = false }
    return isWritten || values.count > 1
  }
}

/// A machine as the protocol shows it.
protocol RemoteTarget: AnyObject {
  var memory: AddressSpace? { get }
  var watchpoints: [Watchpoint] { get }
  /// The threads that live, by their numbers.
  var remoteThreads: [any RemoteThread] { get }
  /// getpid(2).
  var processNumber: UInt64 { get }
  func auxiliaryBytes() -> [UInt8]
  var executablePath: [UInt8] { get }
  /// As /proc/PID/maps.
  func mapsText() -> [UInt8]
  /// A thread's name as prctl(2) set it.
  func title(of thread: any RemoteThread) -> [UInt8]
  /// Writes registers of a thread; a failure's reply, or nil.
  func write(_ values: [RegisterValue], to thread: any RemoteThread) -> [UInt8]?
  /// Writes memory; a failure's reply, or nil.
  func write(_ bytes: [UInt8], at address: UInt64) -> [UInt8]?
  /// Pages for the debugger's own use, or nil.
  func allocate(_ size: UInt64, _ permissions: Permissions) -> UInt64?
  /// Gives back what begins there; false when nothing does.
  func deallocate(_ address: UInt64) -> Bool
  func setBreakpoint(_ address: UInt64, _ isSet: Bool)
  /// False when such accesses cannot be noticed.
  func setRemoteWatchpoint(_ watchpoint: Watchpoint, _ isSet: Bool) -> Bool
  /// There is a forked child of this number that waits.
  func holds(child: UInt64) -> Bool
  /// Files for the debugger: descriptors out of the guest's sight, or -errno.
  func openFile(_ path: [UInt8], flags: UInt64, mode: UInt64) -> Int64
  func closeFile(_ descriptor: Int32)
  /// Links cannot be read, nor files removed.
  var hasOwnFiles: Bool { get }
}

extension RemoteTarget {
  /// The thread of this number; 0: any.
  func thread(_ number: UInt64) -> (any RemoteThread)? {
    let threads = remoteThreads
    return number == 0 ? threads.first : threads.first { $0.number == number }
  }
}

extension ControlledThread: RemoteThread {
  var access: RegisterAccess { RegisterAccess(self) }
  var instructionPointer: UInt64 { cpu.pointee.rip }
}

extension MachineControl: RemoteTarget {
  var remoteThreads: [any RemoteThread] { threads }
  var processNumber: UInt64 { process?.processNumber ?? 1 }
  func auxiliaryBytes() -> [UInt8] { process?.auxiliaryBytes() ?? [] }
  var executablePath: [UInt8] { process?.program?.executablePath ?? [] }
  func mapsText() -> [UInt8] { process?.mapsText() ?? [] }

  func title(of thread: any RemoteThread) -> [UInt8] {
    let text = process?.contents(of: "/proc/self/task/\(thread.number)/comm") ?? []
    return Array(text.prefix { $0 != 10 })
  }

  func write(_ values: [RegisterValue], to thread: any RemoteThread) -> [UInt8]? {
    thread.access.write(values) ? nil : RemoteServer.failure
  }

  func write(_ bytes: [UInt8], at address: UInt64) -> [UInt8]? {
    guard let memory else { return RemoteServer.failure }
    let isWritten = memory.poke(bytes, at: address)
    // That was not the program.
    beginWatching()
    return isWritten ? nil : RemoteServer.badAddress
  }

  func allocate(_ size: UInt64, _ permissions: Permissions) -> UInt64? {
    let address = try? memory?.map(MapRequest(address: 0, size: size, permissions: permissions))
    if let address { debuggerPages[address] = size }
    return address
  }

  func deallocate(_ address: UInt64) -> Bool {
    guard let memory, let size = debuggerPages.removeValue(forKey: address) else { return false }
    return (try? memory.unmap(address, size: size)) != nil
  }

  func setRemoteWatchpoint(_ watchpoint: Watchpoint, _ isSet: Bool) -> Bool {
    setWatchpoint(watchpoint, isSet)
    return true
  }

  func openFile(_ path: [UInt8], flags: UInt64, mode: UInt64) -> Int64 {
    guard let process else { return -22 }
    let descriptor = process.openForObserver(path, flags: flags, mode: mode)
    if descriptor < 0 { return descriptor }
    return Int64(process.hide(Int32(truncatingIfNeeded: descriptor), movesStandard: true))
  }

  func closeFile(_ descriptor: Int32) { process?.closeHidden(descriptor) }
  var hasOwnFiles: Bool { process?.hasOwnRoot ?? true }
}
