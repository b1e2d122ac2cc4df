// Walks a guest's stack: by call frame information where there is some, over signal frames, and by frame
// pointers where nothing else is known. Reads only through `UnwindMemory`; always ends, whatever the stack
// holds.
import Linux

/// One frame of a backtrace.
struct BacktraceFrame: Equatable {
  /// How the frame was found.
  enum Origin: Equatable { case fault, callFrameInformation, framePointer, signal, stackTop }
  var address: UInt64
  var origin: Origin
  /// Where to look for the function: inside the call instruction for a return address.
  var lookup: UInt64
}

struct Unwinder<Memory: UnwindMemory> {
  let memory: Memory
  /// The table for the code at an address, and what is added to the addresses of its file.
  let table: (_ address: UInt64) -> (frames: CallFrameTable, loadBias: UInt64)?
  /// Deeper frames are not looked for.
  let frameLimit: Int

  init(
    memory: Memory, frameLimit: Int,
    table: @escaping (_ address: UInt64) -> (frames: CallFrameTable, loadBias: UInt64)?
  ) {
    (self.memory, self.frameLimit, self.table) = (memory, frameLimit, table)
  }

  /// One table for all code.
  init(memory: Memory, table: CallFrameTable, loadBias: UInt64, frameLimit: Int) {
    self.init(memory: memory, frameLimit: frameLimit) { _ in (table, loadBias) }
  }

  /// The frames from `registers` outwards; the first one is where the guest stands. `each` gets the registers of every frame.
  func backtrace(_ start: UnwindRegisters, each: (UnwindRegisters) -> Void = { _ in }) -> [BacktraceFrame] {
    var registers = start
    each(start)
    var frames = [
      BacktraceFrame(
        address: start[UnwindRegisters.rip], origin: .fault, lookup: start[UnwindRegisters.rip])
    ]
    while frames.count < frameLimit, let last = frames.last {
      guard let (caller, origin) = caller(of: registers, lookup: last.lookup, isFirst: frames.count == 1)
      else { break }
      let address = caller[UnwindRegisters.rip]
      if address == 0 { break }
      // Every frame but a signal's lies higher on the stack than the one it called.
      let hasMoved = caller[UnwindRegisters.rsp] > registers[UnwindRegisters.rsp]
      if !hasMoved, origin != .signal { break }
      let isReturnAddress = origin != .signal
      frames.append(
        BacktraceFrame(address: address, origin: origin, lookup: isReturnAddress ? address &- 1 : address))
      registers = caller
      each(caller)
    }
    return frames
  }

  private func caller(
    of registers: UnwindRegisters, lookup: UInt64, isFirst: Bool
  ) -> (UnwindRegisters, BacktraceFrame.Origin)? {
    if let (frames, loadBias) = table(lookup), let description = frames.description(for: lookup &- loadBias) {
      if let caller = try? byCallFrame(registers, description, at: lookup &- loadBias) {
        return (caller, description.common.isSignalFrame ? .signal : .callFrameInformation)
      }
      return nil
    }
    if let caller = overSignalFrame(registers) { return (caller, .signal) }
    // A call to nowhere: the return address is still on top of the stack.
    if isFirst, !memory.isExecutable(registers[UnwindRegisters.rip]),
      let address = memory.long(at: registers[UnwindRegisters.rsp]), memory.isExecutable(address)
    {
      var caller = registers
      caller[UnwindRegisters.rip] = address
      caller[UnwindRegisters.rsp] = registers[UnwindRegisters.rsp] &+ 8
      return (caller, .stackTop)
    }
    return byFramePointer(registers).map { ($0, .framePointer) }
  }

  private func byCallFrame(
    _ registers: UnwindRegisters, _ description: FrameDescription, at address: UInt64
  ) throws(DwarfError) -> UnwindRegisters? {
    let row = try CallFrameProgram.row(of: description, at: address)
    var expression = DwarfExpression(registers: registers, memory: memory)
    let frameAddress: UInt64
    switch row.frameAddress {
    case .registerOffset(let number, let offset): frameAddress = registers[number] &+ offset
    case .expression(let code): frameAddress = try expression.evaluate(code)
    }
    var caller = registers
    caller[UnwindRegisters.rsp] = frameAddress
    let column = Int(truncatingIfNeeded: min(description.common.returnAddressColumn, 16))
    for (number, rule) in row.registers.enumerated() {
      switch rule {
      case .same:
        if number == column { return nil }
      case .undefined:
        // Undefined return address: the outermost frame says so.
        if number == column { return nil }
        caller[number] = 0
      case .offset(let offset): caller[number] = try load(frameAddress &+ offset)
      case .valueOffset(let offset): caller[number] = frameAddress &+ offset
      case .register(let other): caller[number] = registers[other]
      case .expression(let code):
        caller[number] = try load(try expression.evaluate(code, initial: frameAddress))
      case .valueExpression(let code): caller[number] = try expression.evaluate(code, initial: frameAddress)
      }
    }
    if column != UnwindRegisters.rip { caller[UnwindRegisters.rip] = caller[column] }
    return caller
  }

  private func load(_ address: UInt64) throws(DwarfError) -> UInt64 {
    guard let value = memory.long(at: address) else { throw DwarfError() }
    return value
  }

  /// A C library without unwind tables for its signal return: the code is `mov $15, %eax; syscall`, and the
  /// stack pointer is at the `ucontext` (struct sigcontext at its byte 40: r8 … r15, rdi, rsi, rbp, rbx, rdx,
  /// rax, rcx, rsp, rip).
  private func overSignalFrame(_ registers: UnwindRegisters) -> UnwindRegisters? {
    let code = memory.bytes(at: registers[UnwindRegisters.rip], count: 9) ?? []
    let isReturn =
      code == [0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05]
      || code.starts(with: [0xb8, 15, 0, 0, 0, 0x0f, 0x05])
    guard isReturn, let saved = memory.bytes(at: registers[UnwindRegisters.rsp] &+ 40, count: 17 * 8) else {
      return nil
    }
    let order = [8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7, 16]
    var result = UnwindRegisters()
    for (place, number) in order.enumerated() {
      result[number] = saved.littleEndian(UInt64.self, at: place &* 8) ?? 0
    }
    return result
  }

  /// `push %rbp; mov %rsp, %rbp` at the start of every function: [rbp] is the caller's rbp, [rbp + 8] the
  /// return address.
  private func byFramePointer(_ registers: UnwindRegisters) -> UnwindRegisters? {
    let frame = registers[UnwindRegisters.rbp]
    guard frame & 7 == 0, frame >= registers[UnwindRegisters.rsp], let saved = memory.long(at: frame),
      let address = memory.long(at: frame &+ 8), memory.isExecutable(address)
    else { return nil }
    var caller = registers
    caller[UnwindRegisters.rbp] = saved
    caller[UnwindRegisters.rsp] = frame &+ 16
    caller[UnwindRegisters.rip] = address
    return caller
  }
}
