// io_submit(2): requests go to the host one by one, with host addresses in place of the guest's. All but those that poll are waited for: an
// eventfd(2) of the thread's, which the host signals at the end of each, says when the host's ring is worth a look.
import CHost
import GuestMemory
import LinuxABI

/// The memory that a request concerns.
private struct RequestBuffers {
  /// The vector of buffers with host addresses; it has to live as long as the call.
  var vector: [UInt64] = []
  /// What a request that reads may fill, one after the other.
  var filled: [LinuxProcess.GuestBytes] = []
}

extension LinuxProcess {
  static func submitRequests(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    if Int64(bitPattern: arguments.b) < 0 { return -Errno.EINVAL }
    guard let context = process.requestContext(arguments.a) else { return -Errno.EINVAL }
    context.takeHead(process.memory)
    let count = min(arguments.b, UInt64(context.capacity))
    var done: UInt64 = 0
    var result: Int64 = 0
    while done < count, result >= 0 {
      let place = process.memory.load(UInt64.self, at: arguments.c &+ done &* 8)
      result = place.map { process.submit($0, to: context, isFirst: done == 0) } ?? -Errno.EFAULT
      if result >= 0 { done &+= 1 }
    }
    context.show(process.memory)
    return done > 0 ? Int64(done) : result
  }

  /// One request: 1, or -errno; `VT_NOT_STARTED` when a signal came before it could wait.
  private func submit(_ place: UInt64, to context: RequestContext, isFirst: Bool) -> Int64 {
    guard let original = memory.load(ControlBlock.self, at: place) else { return -Errno.EFAULT }
    if context.isDestroyed { return -Errno.EINVAL }
    var block = original
    if descriptors.contains(block.descriptor) { block.descriptor = -1 }
    if descriptors.contains(block.eventDescriptor) { block.eventDescriptor = -1 }
    let wantsEvent = block.flags & ControlBlock.signalsEvent != 0
    // The host refuses what is none.
    let hasEvent = !wantsEvent || isEventDescriptor(block.eventDescriptor)
    let guestEvent = wantsEvent ? block.eventDescriptor : nil
    if block.operation != ControlBlock.Operation.poll, hasEvent {
      guard let own = ownEvent() else { return -Errno.EAGAIN }
      block.flags |= ControlBlock.signalsEvent
      block.eventDescriptor = own
    }
    // The kernel puts its key into the struct when it has looked at the descriptors, and at the operation after that.
    let isWritable = memory.store(block.key, at: place &+ ControlBlock.keyOffset)
    let buffers = translate(&block)
    if !isWritable { block.operation = .max }
    let request = AsynchronousRequest(block, at: place, data: original.data)
    context.add(request)
    let result = withExtendedLifetime(buffers.vector) { hand(request, to: context, isFirst: isFirst) }
    if result != 1 {
      context.remove(request)
      let isFault = !isWritable && hasEvent && original.reserved == 0 && original.size >> 63 == 0
      return isFault && result == -Errno.EINVAL ? -Errno.EFAULT : result
    }
    if original.key != 0 { _ = memory.store(UInt32(0), at: place &+ ControlBlock.keyOffset) }
    if request.isPoll { return result }
    finish(request, of: context)
    if memory.journal != nil { note(request, original, buffers.filled) }
    if let guestEvent { signalEvent(guestEvent) }
    return result
  }

  /// Hands a request to the host: 1 or -errno.
  private func hand(_ request: AsynchronousRequest, to context: RequestContext, isFirst: Bool) -> Int64 {
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 1) { list in
      list[0] = address(of: request.block)
      let blocks = address(of: list.baseAddress)
      if request.isPoll { return host.call(209, context.host, 1, blocks) }
      let result = host.callWaiting(209, context.host, 1, blocks)
      // A signal that comes between two requests ends none that does not wait for anybody.
      let goesOn = result == Int64(VT_NOT_STARTED) && !isFirst && isFile(request.block.pointee.descriptor)
      return goesOn ? threads.wait { host.call(209, context.host, 1, blocks) } : result
    }
  }

  /// Waits until the host has finished the request. As in the kernel, signals do not interrupt what a device does.
  private func finish(_ request: AsynchronousRequest, of context: RequestContext) {
    while true {
      context.show(memory)
      guard request.result == nil, !context.isDestroyed, let own = thread.requestsDone else { return }
      let size = withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 1) { count in
        let place = address(of: count.baseAddress)
        return threads.wait { host.callUninterrupted(0, UInt64(UInt32(bitPattern: own)), place, 8) }
      }
      if size < 0 { return }
    }
  }

  // MARK: Buffers

  /// Gives the host the addresses of the guest's buffers, and prepares those that it fills.
  private func translate(_ block: inout ControlBlock) -> RequestBuffers {
    var buffers = RequestBuffers()
    switch block.operation {
    case ControlBlock.Operation.read, ControlBlock.Operation.write:
      if block.operation == ControlBlock.Operation.read {
        buffers.filled = [GuestBytes(address: block.buffer, size: block.size)]
        withoutJournal { memory.prepareHostWrite(block.buffer, size: block.size) }
      }
      block.buffer = memory.hostArgument(block.buffer)
    case ControlBlock.Operation.readVector, ControlBlock.Operation.writeVector:
      let reads = block.operation == ControlBlock.Operation.readVector
      // The kernel cuts the number to 32 bits.
      let count = block.size & 0xffff_ffff
      if reads { buffers.filled = LinuxProcess.buffers(block.buffer, count: count, memory) }
      var failure: Int64 = 0
      let vector = withoutJournal {
        hostVector(block.buffer, count: count, hostWrites: reads, failure: &failure)
      }
      buffers.vector = vector ?? []
      // Of a vector that cannot be read the host must find nothing either.
      block.buffer = vector == nil ? 1 << 63 : buffers.vector.withUnsafeBytes { address(of: $0.baseAddress) }
    default: return buffers
    }
    let writes = buffers.filled.isEmpty
    if writes, memory.runsSharedFiles, let file = fileBehind(UInt64(UInt32(bitPattern: block.descriptor))) {
      memory.fileWillChange(device: file[0], inode: file[1])
    }
    return buffers
  }

  /// Tells a recorder what a request has written: its buffers as far as it has filled them, or mappings of the file.
  private func note(_ request: AsynchronousRequest, _ block: ControlBlock, _ filled: [GuestBytes]) {
    var rest = request.result == -Errno.EFAULT ? UInt64.max : UInt64(max(request.result ?? 0, 0))
    for buffer in filled {
      memory.journal?.noteWrite(buffer.address, min(buffer.size, rest))
      rest &-= min(buffer.size, rest)
    }
    let operation = block.operation
    guard operation == ControlBlock.Operation.write || operation == ControlBlock.Operation.writeVector,
      rest > 0,
      let file = fileBehind(UInt64(UInt32(bitPattern: block.descriptor)))
    else { return }
    // It may have been appended: then all that is mapped may differ.
    for region in memory.regions() {
      guard let backing = memory.backing(region.backing), backing.device == file[0], backing.inode == file[1]
      else {
        continue
      }
      memory.journal?.noteWrite(region.start, region.size)
    }
  }

  // MARK: Descriptors

  /// The thread's own eventfd; nil when there is no room for one.
  private func ownEvent() -> Int32? {
    if let descriptor = thread.requestsDone { return descriptor }
    let closeOnExec: UInt64 = 0x80000
    let descriptor = host.call(290, 0, closeOnExec)
    if descriptor < 0 { return nil }
    thread.requestsDone = hide(Int32(truncatingIfNeeded: descriptor), movesStandard: true)
    return thread.requestsDone
  }

  private func isEventDescriptor(_ descriptor: Int32) -> Bool {
    identity(of: descriptor)?.path.elementsEqual("anon_inode:[eventfd]".utf8) ?? false
  }

  /// Adds 1 to the guest's eventfd, unless that would wait, as the kernel does.
  private func signalEvent(_ descriptor: Int32) {
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 1) { place in
      let canWrite: UInt64 = 4
      place[0] = UInt64(UInt32(bitPattern: descriptor)) | canWrite << 32
      guard host.call(7, address(of: place.baseAddress), 1, 0) == 1, place[0] >> 48 & canWrite != 0 else {
        return
      }
      place[0] = 1
      _ = host.call(1, UInt64(UInt32(bitPattern: descriptor)), address(of: place.baseAddress), 8)
    }
  }

  /// A regular file or a block device: nobody has to come and read or write at its other end.
  private func isFile(_ descriptor: Int32) -> Bool {
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 18) { status in
      let result = host.call(5, UInt64(UInt32(bitPattern: descriptor)), address(of: status.baseAddress))
      let kind = status[3] & 0o170000
      return result == 0 && (kind == 0o100000 || kind == 0o060000)
    }
  }
}
