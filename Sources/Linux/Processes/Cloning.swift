// fork(2), vfork(2), clone(2), clone3(2): making processes. A guest's fork is a fork of the whole of Vitrine: window, table
// and engine caches are copied by the host kernel, and the child goes on in the same run loop. A child that is to work in
// its parent's memory until it executes (vfork, posix_spawn) gets a copy too, and hands back what it has changed
// (BorrowedMemory.swift). Threads are in Threads.swift.
import CHost
import GuestMemory
import LinuxABI

/// Bits of clone(2)'s flags.
enum CloneFlags {
  static let signalMask: UInt64 = 0xff
  static let vm: UInt64 = 0x100
  static let signalHandlers: UInt64 = 0x800
  static let pidDescriptor: UInt64 = 0x1000
  static let vfork: UInt64 = 0x4000
  static let parent: UInt64 = 0x8000
  static let thread: UInt64 = 0x10000
  static let setTLS: UInt64 = 0x80000
  static let parentSetThread: UInt64 = 0x10_0000
  static let childClearThread: UInt64 = 0x20_0000
  static let detached: UInt64 = 0x40_0000
  static let childSetThread: UInt64 = 0x100_0000
  static let clearHandlers: UInt64 = 1 << 32
  static let intoGroup: UInt64 = 1 << 33
  /// New namespaces, CLONE_PARENT, CLONE_FS, CLONE_FILES, CLONE_SYSVSEM, CLONE_IO: the host takes them as they are.
  static let forwarded: UInt64 = 0x7e02_0000 | parent | sharedFiles | sharedSystem
  /// CLONE_FS, CLONE_FILES; CLONE_SYSVSEM, CLONE_IO.
  static let sharedFiles: UInt64 = 0x600
  static let sharedSystem: UInt64 = 0x8004_0000
  /// Of clone3(2) alone: CLONE_NEWTIME, CLONE_INTO_CGROUP.
  static let forwardedByClone3: UInt64 = 0x80 | intoGroup
}

/// What clone(2) and clone3(2) ask for; addresses are the guest's.
struct CloneRequest {
  var flags: UInt64 = 0
  var exitSignal: UInt64 = 0
  /// The child's stack pointer; 0: its parent's.
  var stackPointer: UInt64 = 0
  var tls: UInt64 = 0
  var pidDescriptor: UInt64 = 0
  var parentThread: UInt64 = 0
  var childThread: UInt64 = 0
  /// clone3's `set_tid`, `set_tid_size` and `cgroup`, host addresses.
  var threadNumbers: (address: UInt64, count: UInt64) = (0, 0)
  var controlGroup: UInt64 = 0
  var isClone3 = false

  func has(_ flag: UInt64) -> Bool { flags & flag != 0 }
}

extension LinuxProcess {
  static func fork(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    process.makeProcess(CloneRequest(exitSignal: 17))
  }

  static func vfork(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    process.makeProcess(CloneRequest(flags: CloneFlags.vm | CloneFlags.vfork, exitSignal: 17))
  }

  static func clone(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    var request = CloneRequest(
      flags: arguments.a & 0xffff_ffff & ~CloneFlags.signalMask,
      exitSignal: arguments.a & CloneFlags.signalMask,
      stackPointer: arguments.b, tls: arguments.e, parentThread: arguments.c, childThread: arguments.d)
    // clone(2) has one argument for both.
    if request.has(CloneFlags.pidDescriptor) {
      if request.has(CloneFlags.parentSetThread | CloneFlags.detached) { return -Errno.EINVAL }
      request.pidDescriptor = arguments.c
    }
    return process.makeProcess(request)
  }

  static func clone3(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    var failure: Int64 = 0
    guard let request = process.clone3Request(arguments.a, size: arguments.b, &failure) else {
      return failure
    }
    return process.makeProcess(request)
  }

  /// Reads struct clone_args: eleven words, of which older callers know eight or ten, newer ones more.
  private func clone3Request(_ address: UInt64, size: UInt64, _ failure: inout Int64) -> CloneRequest? {
    func fail(_ errno: Int64) -> CloneRequest? {
      failure = -errno
      return nil
    }
    if size > Page.size { return fail(Errno.E2BIG) }
    if size < 64 { return fail(Errno.EINVAL) }
    guard let bytes = memory.bytes(at: GuestAddress(address), count: Int(size)) else {
      return fail(Errno.EFAULT)
    }
    let known = 88
    if bytes.dropFirst(known).contains(where: { $0 != 0 }) { return fail(Errno.E2BIG) }
    let all = bytes.prefix(known) + [UInt8](repeating: 0, count: max(0, known - bytes.count))
    func word(_ index: Int) -> UInt64 { Array(all).littleEndian(UInt64.self, at: index * 8) ?? 0 }
    var request = CloneRequest(flags: word(0), exitSignal: word(4), tls: word(7))
    request.isClone3 = true
    request.pidDescriptor = word(1)
    request.childThread = word(2)
    request.parentThread = word(3)
    request.threadNumbers = (memory.hostArgument(word(8)), word(9))
    request.controlGroup = word(10)
    let stack = word(5)
    let stackSize = word(6)
    if (stack == 0) != (stackSize == 0) { return fail(Errno.EINVAL) }
    if stack != 0 {
      let (top, overflow) = stack.addingReportingOverflow(stackSize)
      if overflow || top > memory.limit { return fail(Errno.EINVAL) }
      request.stackPointer = top
    }
    let known3 = 0xffff_ffff | CloneFlags.clearHandlers | CloneFlags.intoGroup
    let forbidden = CloneFlags.detached | CloneFlags.signalMask & ~0x80
    if request.flags & ~known3 != 0 || request.has(forbidden) || request.exitSignal > 64 {
      return fail(Errno.EINVAL)
    }
    if request.has(CloneFlags.clearHandlers), request.has(CloneFlags.signalHandlers) {
      return fail(Errno.EINVAL)
    }
    if request.has(CloneFlags.thread | CloneFlags.parent), request.exitSignal != 0 {
      return fail(Errno.EINVAL)
    }
    return request
  }

  // MARK: Making one

  func makeProcess(_ request: CloneRequest) -> Int64 {
    if request.has(CloneFlags.thread) { return makeThread(request) }
    if request.has(CloneFlags.vm), !request.has(CloneFlags.vfork) {
      reportOnce(1 << 35, "clone with CLONE_VM alone is not implemented (ENOSYS)")
      return -Errno.ENOSYS
    }
    // Another process could exchange descriptors under a walk (Docs/root.md).
    if root != nil, request.has(CloneFlags.sharedFiles) { return -Errno.EINVAL }
    // Handlers can only be shared together with memory.
    if request.has(CloneFlags.signalHandlers), !request.has(CloneFlags.vm) { return -Errno.EINVAL }
    let loan = request.has(CloneFlags.vfork) ? lendMemory() : nil
    if request.has(CloneFlags.vfork), loan == nil { return -Errno.ENOMEM }
    joinEnded()
    observation.forkBegins?()
    let result = forkHost(request)
    if result == 0 {
      becomeChild(request, loan)
      return 0
    }
    if result > 0, request.has(CloneFlags.parentSetThread) {
      _ = memory.store(UInt32(truncatingIfNeeded: result), at: request.parentThread)
    }
    observation.forkEnds?(result, request.has(CloneFlags.vfork))
    if let loan { takeBack(loan, child: result) }
    return result
  }

  /// The host's fork, with what of the request the host is to know.
  private func forkHost(_ request: CloneRequest) -> Int64 {
    let forwarded = CloneFlags.forwarded | CloneFlags.pidDescriptor
    if request.pidDescriptor != 0 { memory.prepareHostWrite(request.pidDescriptor, size: 4) }
    let pidDescriptor = request.has(CloneFlags.pidDescriptor) ? memory.hostArgument(request.pidDescriptor) : 0
    guard request.isClone3 else {
      return host.call(56, request.flags & forwarded | request.exitSignal, 0, pidDescriptor, 0, 0)
    }
    return withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 11) { words -> Int64 in
      words.initialize(repeating: 0)
      words[0] = request.flags & (forwarded | CloneFlags.forwardedByClone3)
      words[1] = pidDescriptor
      words[4] = request.exitSignal
      words[8] = request.threadNumbers.address
      words[9] = request.threadNumbers.count
      words[10] = request.controlGroup
      return host.call(435, address(of: words.baseAddress), 88)
    }
  }

  /// What differs in the new process.
  private func becomeChild(_ request: CloneRequest, _ loan: MemoryLoan?) {
    isForkedChild = true
    leaveRequestContexts()
    becomeOnlyThread()
    // Descriptors of other threads' calls.
    for descriptor in root?.waiting ?? [] { closeKept(descriptor) }
    vt_signal_forget()
    updateAttention()
    memory.dropUnforked()
    tracer = nil
    borrow(loan, givesBack: request.has(CloneFlags.vm))
    if request.has(CloneFlags.clearHandlers) { resetHandlers(keepsStack: true) }
    clearChildThread = request.has(CloneFlags.childClearThread) ? request.childThread : 0
    robustList = 0
    if request.has(CloneFlags.vm) { thread.restartable = nil }
    if request.has(CloneFlags.childSetThread) {
      _ = memory.store(UInt32(truncatingIfNeeded: host.call(186)), at: request.childThread)
    }
    guard let cpu else { return }
    if request.stackPointer != 0 { GuestRegisters(cpu)[.rsp] = request.stackPointer }
    if request.has(CloneFlags.setTLS) { cpu.pointee.fs_base = request.tls }
  }
}
