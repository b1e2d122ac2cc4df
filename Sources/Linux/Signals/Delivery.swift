// Bringing signals to the guest: faults at once, waiting ones when the run loop looks. Follows signal(7) and the kernel's
// order: a synchronous signal that is blocked or ignored ends the process.
import CHost
import GuestMemory
import LinuxABI

/// The 128 bytes of a siginfo_t, as 16 words.
struct SignalInformation {
  var words = [UInt64](repeating: 0, count: 16)

  init() {}

  /// A fault or a signal of the kernel: number, code, address.
  init(signal: Int32, code: Int32, address: UInt64) {
    words[0] = UInt64(UInt32(bitPattern: signal))
    words[1] = UInt64(UInt32(bitPattern: code))
    words[2] = address
  }

  /// A signal that a process sent.
  init(signal: Int32, code: Int32, process: Int32, user: UInt32) {
    words[0] = UInt64(UInt32(bitPattern: signal))
    words[1] = UInt64(UInt32(bitPattern: code))
    words[2] = UInt64(UInt32(bitPattern: process)) | UInt64(user) << 32
  }
}

extension LinuxProcess {
  /// Turns a fault at `cpu.rip` into its signal. `.resume`: the guest's handler runs next, or the access is to be
  /// repeated because only Vitrine's bookkeeping stood in its way.
  public func deliver(fault: GuestFault, _ cpu: UnsafeMutablePointer<vt_cpu_state>) -> Outcome {
    attach(cpu)
    if fault.kind == .pageFault, !fault.fetch, memory.handleFault(at: fault.address, write: fault.write) {
      return .resume
    }
    let region = fault.kind == .pageFault ? memory.query(fault.address) : nil
    let isPresent = region.map { !$0.permissions.isEmpty } ?? false
    let cause = FaultSignal(fault, mapped: region != nil, present: isPresent, rip: cpu.pointee.rip)
    thread.lastFault = cause
    if cause.trapNumber == 14 { thread.lastPageFault = cause.address }
    let information = SignalInformation(signal: cause.signal, code: cause.code, address: cause.address)
    tracer?.signal(information.words)
    return force(cause.signal, information, fault, cpu)
  }

  /// A signal that the guest's present instruction raises, 1…31: its handler runs next, or the process ends.
  func force(
    _ number: Int32, _ information: SignalInformation, _ fault: GuestFault?,
    _ cpu: UnsafeMutablePointer<vt_cpu_state>
  ) -> Outcome {
    if let observer = observation.signal {
      var (signal, seen) = (number, information)
      observer(thread, &signal, &seen.words)
      if signal == 0 { return .resume }
      if signal != number { return deliver(signal, seen, cpu) ?? .resume }
    }
    let action = self.action(number)
    let blocked = thread.mask >> UInt64(number - 1) & 1 != 0
    if blocked || action.handler <= KernelSignalAction.ignoreHandler { return killed(number, fault) }
    // What enters the handler clears it again.
    if let fault, fault.isRepeated { cpu.pointee.flags_other |= 1 << 16 }
    if !pushFrame(cpu, number, action, information) { return killed(Signal.segmentation, fault) }
    return .resume
  }

  /// Delivers what waits and is not blocked; the run loop calls it when `cpu.attention` is set.
  public func deliverPendingSignals(_ cpu: UnsafeMutablePointer<vt_cpu_state>) -> Outcome {
    attach(cpu)
    if thread.mustEnd { return endForOthers() }
    while true {
      var information = SignalInformation()
      var signal = information.words.withUnsafeMutableBytes { vt_signal_take(thread.mask, $0.baseAddress) }
      if signal == 0 { break }
      tracer?.signal(information.words)
      if let observer = observation.signal { observer(thread, &signal, &information.words) }
      if signal == 0 { continue }
      if let outcome = deliver(signal, information, cpu) { return outcome }
    }
    if let saved = thread.savedMask {
      thread.savedMask = nil
      setMask(saved)
    } else {
      updateAttention()
    }
    return .resume
  }

  /// One signal that is not blocked; what it ends the process with, or nil.
  private func deliver(
    _ signal: Int32, _ information: SignalInformation, _ cpu: UnsafeMutablePointer<vt_cpu_state>
  ) -> Outcome? {
    let action = signals.actions[Int(signal)]
    if action.handler == KernelSignalAction.ignoreHandler { return nil }
    if action.handler == KernelSignalAction.defaultHandler {
      if isFatal(signal) { return killed(signal, nil) }
      if Signal.defaultAction(signal) == .stop { stopForObserver() }
      return nil
    }
    return pushFrame(cpu, signal, action, information) ? nil : killed(Signal.segmentation, nil)
  }

  func killed(_ signal: Int32, _ fault: GuestFault?) -> Outcome {
    releaseAllFutexes()
    giveBack()
    let ending = Outcome.killed(signal: signal, fault: fault)
    outcome = ending
    tracer?.killed(signal)
    return ending
  }

  /// Sends `signal` to the guest itself, past the host. For signals that the host cannot carry (those that Vitrine uses)
  /// and those whose default action is to be reported.
  func raise(_ signal: Int32, code: Int32) -> Int64 {
    let process = Int32(truncatingIfNeeded: host.call(39))
    let user = UInt32(truncatingIfNeeded: host.call(102))
    let information = SignalInformation(signal: signal, code: code, process: process, user: user)
    information.words.withUnsafeBytes { vt_signal_record(signal, $0.baseAddress) }
    updateAttention()
    return 0
  }

  // MARK: The frame

  /// Builds the handler's frame and points the CPU at the handler. False when the stack cannot be written.
  private func pushFrame(
    _ cpu: UnsafeMutablePointer<vt_cpu_state>, _ signal: Int32, _ action: KernelSignalAction,
    _ information: SignalInformation
  ) -> Bool {
    // The kernel insists on SA_RESTORER on x86-64.
    guard action.flags & SignalActionFlags.restorer != 0, abortSection(cpu) else { return false }
    let registers = GuestRegisters(cpu)
    var top = registers[.rsp] &- 128
    let onStack = isOnSignalStack(registers[.rsp])
    if action.flags & SignalActionFlags.onStack != 0, !onStack,
      thread.stack.flags & SignalStack.disabled == 0
    {
      top = thread.stack.address &+ thread.stack.size
    }
    guard let state = pushExtendedState(cpu, &top) else { return false }
    let frame = ((top &- UInt64(SignalFrame.size)) & ~15) &- 8
    if onStack, action.flags & SignalActionFlags.onStack != 0, !isOnSignalStack(frame) { return false }
    var bytes = [UInt8](repeating: 0, count: SignalFrame.size)
    bytes.withUnsafeMutableBytes { raw in
      raw.storeBytes(of: action.restorer, toByteOffset: 0, as: UInt64.self)
      let context = UnsafeMutableRawBufferPointer(rebasing: raw[Int(SignalFrame.context)...])
      fillContext(context, registers, state)
      if action.flags & SignalActionFlags.information != 0 {
        for (index, word) in information.words.enumerated() {
          raw.storeBytes(of: word, toByteOffset: SignalFrame.information + index * 8, as: UInt64.self)
        }
      }
    }
    guard memory.copyOut(bytes, to: GuestAddress(frame)) else { return false }
    enterHandler(registers, signal, action, frame)
    return true
  }

  private func enterHandler(
    _ registers: GuestRegisters, _ signal: Int32, _ action: KernelSignalAction, _ frame: UInt64
  ) {
    registers[.rdi] = UInt64(UInt32(bitPattern: signal))
    registers[.rsi] = frame &+ UInt64(SignalFrame.information)
    registers[.rdx] = frame &+ SignalFrame.context
    registers[.rax] = 0
    registers[.rsp] = frame
    registers.cpu.pointee.rip = action.handler
    // TF, DF, RF and AC of the interrupted code do not reach the handler.
    registers.flags = registers.flags & ~0x50500
    var mask = (thread.mask | action.mask)
    if action.flags & SignalActionFlags.noDefer == 0 { mask |= 1 << UInt64(signal - 1) }
    thread.savedMask = nil
    if action.flags & SignalActionFlags.resetHandler != 0 {
      signals.actions[Int(signal)].handler = KernelSignalAction.defaultHandler
      mirrorAction(signal)
    }
    if thread.stack.flags & SignalStack.autoDisarm != 0 { thread.stack = SignalStack() }
    setMask(mask)
  }

  /// `context` begins at the ucontext; offsets of SignalFrame count from there.
  private func fillContext(
    _ context: UnsafeMutableRawBufferPointer, _ registers: GuestRegisters, _ state: UInt64
  ) {
    func put(_ value: UInt64, _ offset: Int) {
      context.storeBytes(of: value, toByteOffset: offset, as: UInt64.self)
    }
    put((state != 0 ? SignalFrame.flagExtended : 0) | SignalFrame.flagStackSegment, 0)
    put(thread.stack.address, SignalFrame.contextStack - 8)
    put(UInt64(stackFlags(registers[.rsp])), SignalFrame.contextStack)
    put(thread.stack.size, SignalFrame.contextStack + 8)
    for (index, register) in LinuxProcess.contextOrder.enumerated() {
      put(registers[register], SignalFrame.registers - 8 + index * 8)
    }
    put(registers.cpu.pointee.rip, SignalFrame.instructionPointer - 8)
    put(registers.flags, SignalFrame.flags - 8)
    put(0x002b_0000_0000_0033, SignalFrame.segments - 8)
    // As the kernel: every frame tells of the thread's last fault.
    put(thread.lastFault?.errorCode ?? 0, SignalFrame.errorCode - 8)
    put(thread.lastFault?.trapNumber ?? 0, SignalFrame.trapNumber - 8)
    put(thread.savedMask ?? thread.mask, SignalFrame.oldMask - 8)
    put(thread.lastPageFault, SignalFrame.faultAddress - 8)
    put(state, SignalFrame.extendedState - 8)
    put(thread.savedMask ?? thread.mask, SignalFrame.mask - 8)
  }

  /// Order of the general registers in the kernel's sigcontext.
  static let contextOrder: [GeneralRegister] = [
    .r8, .r9, .r10, .r11, .r12, .r13, .r14, .r15, .rdi, .rsi, .rbp, .rbx, .rdx, .rax, .rcx, .rsp,
  ]

  /// Writes the extended state below `top` and lowers it. Returns its address, 0 without state, nil when unwritable.
  private func pushExtendedState(_ cpu: UnsafeMutablePointer<vt_cpu_state>, _ top: inout UInt64) -> UInt64? {
    guard let access = extendedState else { return 0 }
    let limit = LinuxProcess.extendedStateLimit
    let area = UnsafeMutableRawPointer.allocate(byteCount: limit + 4, alignment: 64)
    defer { area.deallocate() }
    var size = access.save(cpu, area)
    guard size >= 512, size <= limit else { return nil }
    if size > 512 {
      let words = area + SignalFrame.softwareBytes
      words.storeBytes(of: SignalFrame.magic1, as: UInt32.self)
      words.storeBytes(of: UInt32(size + 4), toByteOffset: 4, as: UInt32.self)
      let features = cpu.pointee.xcr0 != 0 ? cpu.pointee.xcr0 : 7
      words.storeBytes(of: features, toByteOffset: 8, as: UInt64.self)
      words.storeBytes(of: UInt32(size), toByteOffset: 16, as: UInt32.self)
      (area + size).storeBytes(of: SignalFrame.magic2, as: UInt32.self)
      size += 4
    }
    top = (top &- UInt64(size)) & ~63
    let written = memory.copyOut(UnsafeRawBufferPointer(start: area, count: size), to: GuestAddress(top))
    return written ? top : nil
  }

  // MARK: The alternate stack

  func isOnSignalStack(_ pointer: UInt64) -> Bool {
    if thread.stack.flags & SignalStack.autoDisarm != 0 { return false }
    return pointer > thread.stack.address && pointer &- thread.stack.address <= thread.stack.size
  }

  /// `ss_flags` as sigaltstack(2) reports them.
  func stackFlags(_ pointer: UInt64) -> UInt32 {
    if thread.stack.size == 0 { return SignalStack.disabled }
    return isOnSignalStack(pointer) ? SignalStack.onStack : thread.stack.flags & SignalStack.autoDisarm
  }
}
