// Structs of native asynchronous I/O in a trace: what is submitted, and what comes back.
import GuestMemory
import LinuxABI

extension TraceStructures {
  /// An array of pointers to struct iocb.
  func controlBlocks(_ address: UInt64, _ count: UInt64) -> String? {
    if count >> 63 != 0 { return nil }
    return array(address, count, 8) { place in
      u64(place).map { controlBlock($0, isWhole: true) ?? TraceText.address($0) }
    }
  }

  /// struct iocb; of one that is to be cancelled only what tells which it is.
  func controlBlock(_ address: UInt64, isWhole: Bool) -> String? {
    guard address != 0, let block = memory.load(ControlBlock.self, at: address) else { return nil }
    var fields = ["aio_data=" + TraceText.hex(block.data)]
    if block.key != 0 { fields.append("aio_key=\(block.key)") }
    if let names = FlagNames.flags("rwf", UInt64(block.flagsOfTransfer)) {
      fields.append("aio_rw_flags=" + names)
    }
    fields.append("aio_lio_opcode=" + (TraceStructures.operation(block.operation)))
    if block.priority != 0 || block.flags & TraceStructures.hasClass != 0 {
      fields.append("aio_reqprio=" + TraceStructures.priority(block))
    }
    fields.append("aio_fildes=\(block.descriptor)")
    if isWhole { fields += transfer(block) }
    return "{" + fields.joined(separator: ", ") + "}"
  }

  /// IOCB_FLAG_IOPRIO.
  private static let hasClass: UInt32 = 2

  private static func operation(_ number: UInt16) -> String {
    let names = ["PREAD", "PWRITE", "FSYNC", "FDSYNC", "PREADX", "POLL", "NOOP", "PREADV", "PWRITEV"]
    return number < names.count ? "IOCB_CMD_" + names[Int(number)] : "\(number) /* IOCB_CMD_??? */"
  }

  private static func priority(_ block: ControlBlock) -> String {
    if block.flags & hasClass == 0 { return "\(block.priority)" }
    let value = UInt16(bitPattern: block.priority)
    let names = ["NONE", "RT", "BE", "IDLE"]
    let number = Int(value >> 13)
    let name =
      number < names.count
      ? "IOPRIO_CLASS_" + names[number] : TraceText.hex(UInt64(number)) + " /* IOPRIO_CLASS_??? */"
    return "IOPRIO_PRIO_VALUE(\(name), \(value & 0x1fff))"
  }

  private func transfer(_ block: ControlBlock) -> [String] {
    var fields: [String] = []
    switch block.operation {
    case ControlBlock.Operation.read, ControlBlock.Operation.write:
      fields = ["aio_buf=" + buffer(block), "aio_nbytes=\(block.size)", "aio_offset=\(block.offset)"]
    case ControlBlock.Operation.readVector, ControlBlock.Operation.writeVector:
      fields = ["aio_buf=" + vector(block), "aio_offset=\(block.offset)"]
    case ControlBlock.Operation.poll:
      fields = ["aio_buf=" + (FlagNames.flags("poll", block.buffer) ?? "0")]
    default: return []
    }
    if block.flags != 0 {
      let names = ["0", "IOCB_FLAG_RESFD", "IOCB_FLAG_IOPRIO", "IOCB_FLAG_RESFD|IOCB_FLAG_IOPRIO"]
      fields.append(
        "aio_flags="
          + (block.flags < 4
            ? names[Int(block.flags)] : TraceText.hex(UInt64(block.flags)) + " /* IOCB_FLAG_??? */"))
    }
    if block.flags & ControlBlock.signalsEvent != 0 {
      fields.append("aio_resfd=\(block.eventDescriptor)")
    } else if block.eventDescriptor != 0 {
      fields.append("aio_resfd=" + TraceText.hex(UInt64(UInt32(bitPattern: block.eventDescriptor))))
    }
    return fields
  }

  private func buffer(_ block: ControlBlock) -> String {
    block.operation == ControlBlock.Operation.write
      ? data(block.buffer, block.size) : TraceText.hex(block.buffer)
  }

  private func vector(_ block: ControlBlock) -> String {
    let writes = block.operation == ControlBlock.Operation.writeVector
    let text = array(block.buffer, block.size, 16) { place in
      guard let base = u64(place), let size = u64(place &+ 8) else { return nil }
      return "{iov_base=\(writes ? data(base, size) : TraceText.address(base)), iov_len=\(size)}"
    }
    return text ?? TraceText.address(block.buffer)
  }

  private func data(_ address: UInt64, _ size: UInt64) -> String {
    let shown = min(size, UInt64(TraceText.stringLimit))
    guard address != 0, let bytes = memory.bytes(at: GuestAddress(address), count: Int(shown)) else {
      return TraceText.address(address)
    }
    return TraceText.quoted(bytes, more: size > shown)
  }

  /// The struct io_event that io_getevents(2) has returned.
  func completions(_ address: UInt64, _ count: Int64) -> String? {
    array(address, UInt64(max(count, 0)), CompletionEvent.size) { place in
      memory.load(CompletionEvent.self, at: place).map {
        "{data=\(TraceText.hex($0.data)), obj=\(TraceText.hex($0.block)), res=\($0.result), res2=\($0.secondResult)}"
      }
    }
  }

  /// struct __aio_sigset.
  func eventMask(_ address: UInt64) -> String? {
    guard let pointer = u64(address), let size = u64(address &+ 8) else { return nil }
    let set = (size == 8 ? u64(pointer) : nil).map(TraceText.signalSet) ?? TraceText.address(pointer)
    return "{sigmask=\(set), sigsetsize=\(size)}"
  }
}
