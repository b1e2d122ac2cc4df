// Native asynchronous I/O (io_submit(2)): what libaio calls. A request that reads or writes is done when io_submit returns, because nobody
// may write guest memory at another time; one that polls goes on. See RequestContext.swift for who keeps what.
import CHost
import GuestMemory
import LinuxABI

extension SystemCallTable {
  mutating func defineAsynchronous() {
    define(206, "io_setup", "uint *aioctx>", [], LinuxProcess.setUpRequests)
    define(207, "io_destroy", "addr", [], LinuxProcess.destroyRequests)
    define(
      208, "io_getevents", "addr long long *io_event>2 *timespec<", .waits, LinuxProcess.getRequestEvents)
    define(209, "io_submit", "addr long *iocbs<1", [], LinuxProcess.submitRequests)
    define(210, "io_cancel", "addr *iocb< *io_event>", [], LinuxProcess.cancelRequest)
    define(
      333, "io_pgetevents", "addr long long *io_event>2 *timespec< *aiosigset<", .waits,
      LinuxProcess.getRequestEvents)
  }
}

extension LinuxProcess {
  // MARK: Contexts

  static func setUpRequests(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let memory = process.memory
    guard let old = memory.load(UInt64.self, at: arguments.b) else { return -Errno.EFAULT }
    if old != 0 { return -Errno.EINVAL }
    let (result, number) = withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 1) { place in
      place[0] = 0
      let result = process.host.call(206, arguments.a, process.address(of: place.baseAddress))
      return (result, place[0])
    }
    if result < 0 { return result }
    guard let context = RequestContext(host: number) else {
      _ = process.host.call(207, number)
      return -Errno.ENOSYS
    }
    var request = MapRequest(size: context.size, permissions: [.read, .write])
    request.name = Backing(device: 0, inode: 0, path: Array("/[aio] (deleted)".utf8))
    let address = process.result { () throws(MemoryError) in try memory.map(request) }
    if address < 0 {
      _ = process.host.call(207, number)
      return address
    }
    let place = UInt64(bitPattern: address)
    process.requestContexts[place] = context
    if context.place(at: place, memory), memory.store(place, at: arguments.b) { return 0 }
    process.destroy(context)
    return -Errno.EFAULT
  }

  static func destroyRequests(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    guard let context = process.requestContext(arguments.a) else { return -Errno.EINVAL }
    process.destroy(context)
    return 0
  }

  /// The kernel, too, looks at the number in the ring.
  func requestContext(_ address: UInt64) -> RequestContext? {
    guard let context = requestContexts[address], memory.load(UInt32.self, at: address) == context.number
    else { return nil }
    return context
  }

  private func destroy(_ context: RequestContext) {
    context.isDestroyed = true
    requestContexts[context.address] = nil
    try? memory.unmap(context.address, size: context.size)
    // It waits for requests that other threads have submitted.
    _ = threads.wait { host.call(207, context.host) }
  }

  /// execve(2): the program's contexts end with its memory.
  func endRequestContexts() {
    for context in requestContexts.values {
      context.isDestroyed = true
      _ = host.call(207, context.host)
    }
    requestContexts = [:]
  }

  /// A forked child has the rings, but not the contexts.
  func leaveRequestContexts() {
    for other in threadList { closeRequestsDone(other) }
    for context in requestContexts.values {
      context.isDestroyed = true
      _ = host.call(11, context.host, context.size)
    }
    requestContexts = [:]
  }

  func closeRequestsDone(_ thread: GuestThread) {
    if let descriptor = thread.requestsDone { closeHidden(descriptor) }
    thread.requestsDone = nil
  }

  // MARK: Events

  static func getRequestEvents(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let (memory, number) = (process.memory, process.callNumber)
    if arguments.e != 0, memory.bytes(at: GuestAddress(arguments.e), count: 16) == nil {
      return -Errno.EFAULT
    }
    var mask: (pointer: UInt64, size: UInt64) = (0, 0)
    if number == 333, arguments.f != 0 {
      guard let pointer = memory.load(UInt64.self, at: arguments.f),
        let size = memory.load(UInt64.self, at: arguments.f &+ 8)
      else { return -Errno.EFAULT }
      mask = (pointer, size)
    }
    let context = process.requestContext(arguments.a)
    context?.takeHead(memory)
    let count = process.prepareEvents(context, arguments)
    let result = process.waiting(mask.pointer, size: mask.size) { mask in
      withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 2) { pair -> Int64 in
        (pair[0], pair[1]) = (mask, 8)
        return process.host.callWaiting(
          number, context?.host ?? 0, arguments.b, count, memory.hostArgument(arguments.d),
          memory.hostArgument(arguments.e), mask == 0 ? 0 : process.address(of: pair.baseAddress))
      }
    }
    context?.show(memory)
    if result > 0 { context?.takeEvents(result, at: arguments.d, memory) }
    if result == -Errno.EFAULT { memory.journal?.noteWrite(arguments.d, count &* CompletionEvent.size) }
    return result
  }

  /// Makes room for as many events as there may be: the number of those that the host is to return at most. What it has written is noted
  /// when it is known.
  private func prepareEvents(_ context: RequestContext?, _ arguments: Arguments) -> UInt64 {
    let (least, most) = (Int64(bitPattern: arguments.b), Int64(bitPattern: arguments.c))
    guard let context, least >= 0, least <= most else { return arguments.c }
    let count = min(arguments.c, max(arguments.b, UInt64(context.capacity)), 1 << 50)
    withoutJournal { memory.prepareHostWrite(arguments.d, size: count &* CompletionEvent.size) }
    return count
  }

  /// Runs `body` without notes of what is about to be written.
  func withoutJournal<Result>(_ body: () -> Result) -> Result {
    let journal = memory.journal
    memory.journal = nil
    defer { memory.journal = journal }
    return body()
  }

  static func cancelRequest(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    let memory = process.memory
    guard let key = memory.load(UInt32.self, at: arguments.b &+ ControlBlock.keyOffset) else {
      return -Errno.EFAULT
    }
    guard key == 0, let context = process.requestContext(arguments.a) else { return -Errno.EINVAL }
    context.takeHead(memory)
    context.show(memory)
    guard let request = context.cancellable(arguments.b) else { return -Errno.EINVAL }
    let result = withUnsafeTemporaryAllocation(of: CompletionEvent.self, capacity: 1) { event in
      process.host.call(
        210, context.host, process.address(of: request.block), process.address(of: event.baseAddress))
    }
    context.show(memory)
    return result
  }
}
