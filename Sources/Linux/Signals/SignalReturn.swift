// rt_sigreturn(2): takes a handler's frame apart again. Everything in it is the guest's to forge: registers are taken as
// they are, flags are masked, a malformed extended state is SIGSEGV as in the kernel.
import CHost
import GuestMemory
import LinuxABI

extension LinuxProcess {
  /// Restores the context that lies at RSP - 8.
  static func signalReturn(_ process: LinuxProcess, _ arguments: Arguments) -> Int64 {
    guard let cpu = process.cpu else { return -Errno.ENOSYS }
    let registers = GuestRegisters(cpu)
    let context = registers[.rsp] &- 8 &+ SignalFrame.context
    let restored = process.memory.bytes(at: GuestAddress(context), count: SignalFrame.mask).map { bytes in
      bytes.withUnsafeBytes { process.restore($0, registers) }
    }
    if restored != true {
      process.tracer?.badFrame()
      process.outcome = process.killed(Signal.segmentation, nil)
      return 0
    }
    process.registersReplaced = true
    return 0
  }

  private func restore(_ context: UnsafeRawBufferPointer, _ registers: GuestRegisters) -> Bool {
    func get(_ offset: Int) -> UInt64 { context.loadUnaligned(fromByteOffset: offset - 8, as: UInt64.self) }
    let state = get(SignalFrame.extendedState)
    if !restoreExtendedState(registers.cpu, state) { return false }
    for (index, register) in LinuxProcess.contextOrder.enumerated() {
      registers[register] = get(SignalFrame.registers + index * 8)
    }
    registers.cpu.pointee.rip = get(SignalFrame.instructionPointer)
    // CF PF AF ZF SF TF DF OF AC, the bits that the kernel lets a frame set; it also restores RF, which is gone after an instruction.
    let allowed: UInt64 = 0x40dd5
    registers.flags = (registers.flags & ~allowed) | (get(SignalFrame.flags) & allowed)
    var stack = SignalStack()
    stack.address = get(SignalFrame.contextStack)
    stack.flags = UInt32(truncatingIfNeeded: get(SignalFrame.contextStack + 8))
    stack.size = get(SignalFrame.contextStack + 16)
    _ = setSignalStack(stack, pointer: registers[.rsp])
    setMask(get(SignalFrame.mask))
    return true
  }

  private func restoreExtendedState(_ cpu: UnsafeMutablePointer<vt_cpu_state>, _ address: UInt64) -> Bool {
    guard let access = extendedState, address != 0 else { return true }
    let limit = LinuxProcess.extendedStateLimit
    let area = UnsafeMutableRawPointer.allocate(byteCount: limit, alignment: 64)
    defer { area.deallocate() }
    area.initializeMemory(as: UInt8.self, repeating: 0, count: limit)
    let legacy = UnsafeMutableRawBufferPointer(start: area, count: 512)
    guard memory.copyIn(legacy, from: GuestAddress(address)) else { return false }
    let words = area + SignalFrame.softwareBytes
    let size = Int(words.load(fromByteOffset: 16, as: UInt32.self))
    guard words.load(as: UInt32.self) == SignalFrame.magic1, size > 512, size <= limit,
      memory.load(UInt32.self, at: address &+ UInt64(size)) == SignalFrame.magic2
    else { return access.restore(cpu, area, 512) }
    let whole = UnsafeMutableRawBufferPointer(start: area, count: size)
    guard memory.copyIn(whole, from: GuestAddress(address)) else { return false }
    return access.restore(cpu, area, size)
  }
}
